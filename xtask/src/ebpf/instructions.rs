//! What the instructions of the kernel program can do at all, read from the object.
//!
//! The verifier does not care what a packet filter answers. Here it is proven that the only answer
//! is "next", and that nothing is called that could change a packet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, bail, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// The section of the entry points.
const ENTRY_POINTS: &str = "classifier";
/// `TCX_NEXT` and `TC_ACT_UNSPEC`.
const NEXT: i32 = -1;
/// Helpers that neither write a packet nor send it elsewhere, by their number in `bpf.h`.
const HELPERS: [(i32, &str); 4] = [
    (1, "bpf_map_lookup_elem"),
    (2, "bpf_map_update_elem"),
    (26, "bpf_skb_load_bytes"),
    (160, "bpf_ktime_get_coarse_ns"),
];

/// Fails unless every entry point returns "next" only, and only those helpers are called.
pub fn check(object: &[u8]) -> anyhow::Result<()> {
    let functions = functions(object)?;
    ensure!(functions.iter().any(|f| f.is_entry_point), "the object has no entry points");
    for Function { name, is_entry_point, instructions } in &functions {
        for instruction in instructions.values() {
            if let Some(helper) = instruction.helper() {
                let is_allowed = HELPERS.iter().any(|(number, _)| *number == helper);
                ensure!(is_allowed, "{name} calls the helper {helper}, which it must not");
            }
            ensure!(!instruction.is_kernel_function(), "{name} calls a function of the kernel");
        }
        if *is_entry_point {
            returns_next_only(instructions).with_context(|| name.clone())?;
        }
    }
    Ok(())
}

/// Every exit follows an instruction that sets the answer to "next", and nothing jumps in between.
fn returns_next_only(instructions: &BTreeMap<usize, Instruction>) -> anyhow::Result<()> {
    let targets: BTreeSet<usize> =
        instructions.iter().filter_map(|(at, instruction)| instruction.jump(*at)).collect();
    for (at, _) in instructions.iter().filter(|(_, instruction)| instruction.is_exit()) {
        let before = instructions.range(..at).next_back().map(|(_, instruction)| instruction);
        if !before.is_some_and(Instruction::answers_next) || targets.contains(at) {
            bail!("instruction {at} may return something else than {NEXT}");
        }
    }
    Ok(())
}

/// How many instructions each function has, and the fewest that a packet takes to be counted in
/// it, the instructions of what it calls not included.
pub fn print(object: &[u8]) -> anyhow::Result<()> {
    println!("{:>12} {:>20}", "instructions", "for a counted packet");
    for Function { name, instructions, .. } in functions(object)? {
        let counted = fewest_to_count(&instructions).map_or("-".to_owned(), |n| n.to_string());
        println!("{:>12} {counted:>20} {name}", instructions.len());
    }
    Ok(())
}

/// Length of the shortest way from the first instruction past an atomic one to an exit.
fn fewest_to_count(instructions: &BTreeMap<usize, Instruction>) -> Option<usize> {
    let from_first = distances(instructions, *instructions.keys().next()?);
    let atomics = instructions.iter().filter(|(_, instruction)| instruction.is_atomic());
    atomics
        .filter_map(|(at, _)| {
            let onwards = distances(instructions, *at);
            let exits = onwards.iter().filter(|(at, _)| instructions[*at].is_exit());
            Some(from_first.get(at)? + exits.map(|(_, distance)| distance).min()? + 1)
        })
        .min()
}

/// Of every instruction that can be reached, how many come before it at least.
fn distances(instructions: &BTreeMap<usize, Instruction>, first: usize) -> BTreeMap<usize, usize> {
    let mut distances = BTreeMap::from([(first, 0)]);
    let mut waiting = VecDeque::from([first]);
    while let Some(at) = waiting.pop_front() {
        let instruction = &instructions[&at];
        let behind = instructions.range(at + 1..).next().map(|(at, _)| *at);
        let next = behind.filter(|_| instruction.falls_through());
        for to in next.into_iter().chain(instruction.jump(at)) {
            if instructions.contains_key(&to) && !distances.contains_key(&to) {
                distances.insert(to, distances[&at] + 1);
                waiting.push_back(to);
            }
        }
    }
    distances
}

struct Function {
    name: String,
    is_entry_point: bool,
    /// By their place, in words of eight bytes from the beginning of the section.
    instructions: BTreeMap<usize, Instruction>,
}

fn functions(object: &[u8]) -> anyhow::Result<Vec<Function>> {
    let file = object::File::parse(object)?;
    let mut functions = vec![];
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(section) = symbol.section_index() else { continue };
        let section = file.section_by_index(section)?;
        let start = usize::try_from(symbol.address())?;
        let end = start + usize::try_from(symbol.size())?;
        let code = section.data()?.get(start..end).context("a function outside of its section")?;
        functions.push(Function {
            name: format!("{:#}", rustc_demangle::demangle(symbol.name()?)),
            is_entry_point: section.name()? == ENTRY_POINTS,
            instructions: decode(code, start / WORD),
        });
    }
    Ok(functions)
}

const WORD: usize = 8;

/// An instruction as RFC 9669 describes it.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

fn decode(code: &[u8], first: usize) -> BTreeMap<usize, Instruction> {
    const LOAD_64_BITS: u8 = 0x18;
    let mut instructions = BTreeMap::new();
    let mut is_second_half = false;
    for (at, word) in code.as_chunks::<WORD>().0.iter().enumerate() {
        let [code, registers, low, high, immediate @ ..] = *word;
        let instruction = Instruction {
            code,
            destination: registers & 0x0f,
            source: registers >> 4,
            offset: i16::from_le_bytes([low, high]),
            immediate: i32::from_le_bytes(immediate),
        };
        if !is_second_half {
            instructions.insert(first + at, instruction);
        }
        is_second_half = !is_second_half && code == LOAD_64_BITS;
    }
    instructions
}

impl Instruction {
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const JUMP: u8 = 0x05;
    const JUMP_LONG: u8 = 0x06;

    fn is_exit(&self) -> bool {
        self.code == Self::EXIT
    }

    /// Sets the register of the answer, in either width.
    fn answers_next(&self) -> bool {
        matches!(self.code, 0xb4 | 0xb7) && self.destination == 0 && self.immediate == NEXT
    }

    fn helper(&self) -> Option<i32> {
        (self.code == Self::CALL && self.source == 0).then_some(self.immediate)
    }

    fn is_kernel_function(&self) -> bool {
        self.code == Self::CALL && self.source == 2
    }

    fn is_atomic(&self) -> bool {
        matches!(self.code, 0xc3 | 0xdb)
    }

    fn falls_through(&self) -> bool {
        !matches!(self.code, Self::EXIT | Self::JUMP | Self::JUMP_LONG)
    }

    /// Where it jumps to.
    fn jump(&self, at: usize) -> Option<usize> {
        let is_jump = matches!(self.code & 0x07, 0x05 | 0x06);
        if !is_jump || matches!(self.code, Self::CALL | Self::EXIT) {
            return None;
        }
        let distance = if self.code == Self::JUMP_LONG {
            self.immediate.try_into().ok()?
        } else {
            isize::from(self.offset)
        };
        at.checked_add(1)?.checked_add_signed(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER_NEXT: [u8; 8] = [0xb4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    const ANSWER_DROP: [u8; 8] = [0xb4, 0, 0, 0, 2, 0, 0, 0];
    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    /// Over the next instruction, if the first register is zero.
    const JUMP_IF: [u8; 8] = [0x15, 1, 1, 0, 0, 0, 0, 0];

    fn is_sound(code: &[[u8; 8]]) -> bool {
        returns_next_only(&decode(code.as_flattened(), 0)).is_ok()
    }

    #[test]
    fn only_next_may_be_answered() {
        assert!(is_sound(&[ANSWER_NEXT, EXIT]));
        assert!(is_sound(&[JUMP_IF, ANSWER_DROP, ANSWER_NEXT, EXIT]));
        assert!(!is_sound(&[ANSWER_DROP, EXIT]));
        assert!(!is_sound(&[ANSWER_DROP, JUMP_IF, ANSWER_NEXT, EXIT]));
        assert!(!is_sound(&[ANSWER_NEXT, EXIT, ANSWER_DROP, EXIT]));
        assert!(!is_sound(&[EXIT]));
    }

    #[test]
    fn the_shortest_way_is_counted_past_an_atomic_instruction() {
        const ADD: [u8; 8] = [0xdb, 0x10, 0, 0, 0, 0, 0, 0];
        let code = [JUMP_IF, ADD, ANSWER_NEXT, EXIT];
        assert_eq!(fewest_to_count(&decode(code.as_flattened(), 7)), Some(4));
        assert_eq!(fewest_to_count(&decode([ANSWER_NEXT, EXIT].as_flattened(), 0)), None);
    }
}
