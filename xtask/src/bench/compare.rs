//! Two runs side by side.

use super::run::Run;

pub fn run(before: &str, after: &str) -> anyhow::Result<()> {
    let (before, after) = (Run::read(before)?, Run::read(after)?);
    println!("{:<34} {:>14} {:>14} {:>7}  unit", "", "before", "after", "ratio");
    for measured in &after.measurements {
        let (name, unit, now) = (&measured.name, &measured.unit, measured.median);
        match before.find(name) {
            Some(was) => {
                let (was, ratio) = (was.median, now / was.median);
                println!("{name:<34} {was:>14.1} {now:>14.1} {ratio:>7.2}  {unit}");
            }
            None => println!("{name:<34} {:>14} {now:>14.1} {:>7}  {unit}", "-", "-"),
        }
    }
    let is_gone = |name: &str| after.find(name).is_none();
    for gone in before.measurements.iter().filter(|measured| is_gone(&measured.name)) {
        println!("{:<34} {:>14.1} {:>14} {:>7}  {}", gone.name, gone.median, "-", "-", gone.unit);
    }
    Ok(())
}
