//! How a line of the log is written: as JSON, for a person, or for the journal of systemd, which has the time and the
//! level itself. What others wrote is escaped in each of them.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal as _, stderr};

use tracing::field::Field;
use tracing::{Level, Metadata};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::{Layer, fmt as lines};

use super::queue::Rank;
use super::write;
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::display;

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Json,
    Human { has_colours: bool },
    Journal,
}

impl Shape {
    fn of(format: LogFormat, is_terminal: bool, is_journal: bool, no_color: bool) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto | LogFormat::Human if is_journal => Self::Journal,
            LogFormat::Auto if !is_terminal => Self::Json,
            LogFormat::Auto | LogFormat::Human => Self::Human {
                has_colours: is_terminal && !no_color,
            },
        }
    }
}

/// The layer that writes lines in this format.
pub(super) fn layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let shape = Shape::of(format, stderr().is_terminal(), is_journal(), no_color);
    let layer = lines::layer().with_writer(shape).log_internal_errors(false);
    match shape {
        Shape::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        Shape::Human { has_colours } => layer
            .with_timer(Seconds(Clock::system()))
            .with_target(false)
            .with_ansi(has_colours)
            .fmt_fields(debug_fn(field).delimited(" "))
            .boxed(),
        Shape::Journal => layer
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .fmt_fields(debug_fn(field).delimited(" "))
            .boxed(),
    }
}

/// Whether the journal of systemd reads standard error: systemd.exec(5), `$JOURNAL_STREAM`.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(stderr()).is_ok_and(|stat| names(&named, stat.st_dev, stat.st_ino))
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    let parts = stream.split_once(':');
    parts.is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

/// The time of a line for a person, who does not count in microseconds.
struct Seconds(Clock);

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:.0}", self.0.now())
    }
}

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let text = display::line(&text);
    if field.name() == "message" {
        return writer.write_str(&text);
    }
    if writer.has_ansi_escapes() {
        return write!(writer, "\u{1b}[3m{field}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{text}");
    }
    write!(writer, "{field}={text}")
}

/// Where one line goes.
pub(super) struct LineWriter {
    shape: Shape,
    rank: Rank,
}

impl<'a> MakeWriter<'a> for Shape {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter {
            shape: *self,
            rank: Rank::Info,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter {
        LineWriter {
            shape: *self,
            rank: rank(metadata),
        }
    }
}

fn rank(metadata: &Metadata<'_>) -> Rank {
    if metadata.target() == "audit" {
        return Rank::Audit;
    }
    match *metadata.level() {
        Level::ERROR => Rank::Error,
        Level::WARN => Rank::Warn,
        Level::INFO => Rank::Info,
        Level::DEBUG => Rank::Debug,
        Level::TRACE => Rank::Trace,
    }
}

/// The priority that the journal takes from the beginning of a line: sd-daemon(3).
fn priority(rank: Rank) -> &'static str {
    match rank {
        Rank::Error => "<3>",
        Rank::Warn => "<4>",
        Rank::Audit => "<5>",
        Rank::Info => "<6>",
        Rank::Debug | Rank::Trace => "<7>",
    }
}

impl LineWriter {
    fn shown(&self, line: &str) -> String {
        match self.shape {
            Shape::Json => display::json(line).into_owned(),
            // The fields are escaped already; what is left is the colours.
            Shape::Human { has_colours: true } => line.to_owned(),
            Shape::Human { has_colours: false } => display::lines(line).into_owned(),
            Shape::Journal => format!(
                "{}{}",
                priority(self.rank),
                display::lines(line.trim_start_matches(' '))
            ),
        }
    }
}

impl io::Write for LineWriter {
    /// Is given a line as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write(self.rank, &self.shown(&String::from_utf8_lossy(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_text_for_a_terminal_and_for_the_journal_and_json_otherwise() {
        let colourful = Shape::Human { has_colours: true };
        let plain = Shape::Human { has_colours: false };
        for (format, is_terminal, is_journal, shape) in [
            (LogFormat::Auto, true, false, colourful),
            (LogFormat::Auto, false, false, Shape::Json),
            (LogFormat::Auto, false, true, Shape::Journal),
            (LogFormat::Human, false, false, plain),
            (LogFormat::Human, false, true, Shape::Journal),
            (LogFormat::Json, true, false, Shape::Json),
            (LogFormat::Json, false, true, Shape::Json),
        ] {
            assert_eq!(Shape::of(format, is_terminal, is_journal, false), shape);
        }
        assert_eq!(Shape::of(LogFormat::Auto, true, false, true), plain, "NO_COLOR");
    }

    #[test]
    fn the_journal_is_known_by_the_device_and_inode_of_standard_error() {
        assert!(names("8:12345", 8, 12345));
        for other in ["", "8", "8:", ":12345", "8:1234", "9:12345", "8:12345:1", "x:y"] {
            assert!(!names(other, 8, 12345), "{other}");
        }
    }

    #[test]
    fn a_line_for_the_journal_has_its_priority_and_no_escapes() {
        let writer = LineWriter {
            shape: Shape::Journal,
            rank: Rank::Warn,
        };
        assert_eq!(writer.shown("a \u{202e}b\n"), "<4>a \\u{202e}b\n");
    }
}
