//! Files of lines that people keep, as CSV: a head that names the columns, and a line for each entry.

/// A line of a file that cannot be used. The line itself is not repeated: it has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadLine<F> {
    /// Its number, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub fault: F,
}

/// The lines behind the head, each with its number; the error is the number of a first line that is another head, and
/// `None` where the file has no line. Empty lines and those that begin with `#` are none.
pub fn behind_head<'a>(
    text: &'a str,
    head: &str,
) -> Result<impl Iterator<Item = (usize, &'a str)>, Option<usize>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    match lines.next() {
        Some((_, first)) if first == head => Ok(lines),
        first => Err(first.map(|(line, _)| line)),
    }
}

/// The four fields of a line. The first one is a name, which may have commas; the others have none.
#[must_use]
pub fn fields(line: &str) -> Option<[&str; 4]> {
    let mut fields = line.rsplitn(4, ',').map(str::trim);
    let (fourth, third, second) = (fields.next()?, fields.next()?, fields.next()?);
    Some([fields.next()?, second, third, fourth])
}
