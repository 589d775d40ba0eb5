//! `process_*`, as every Prometheus client library exports them, read from `/proc`.
//! Whatever cannot be read is left out.

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::Family;
use super::register::seconds;
use crate::fs;

/// Ticks of a second in `/proc/<pid>/stat`: `USER_HZ`, which Linux fixes for programs whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// All families of the process.
pub(super) fn families(started: Timestamp) -> impl Iterator<Item = MetricFamily> {
    let status = fs::system_text("/proc/self/status");
    let stat = fs::system_text("/proc/self/stat");
    let limits = fs::system_text("/proc/self/limits");
    [
        metric(
            Family::counter(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            ),
            cpu_seconds(&stat),
        ),
        metric(
            Family::gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            kibibytes(&status, "VmRSS:"),
        ),
        metric(
            Family::gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
            kibibytes(&status, "VmSize:"),
        ),
        metric(
            Family::gauge("process_threads", "Number of OS threads in the process."),
            field(&status, "Threads:"),
        ),
        metric(
            Family::gauge("process_open_fds", "Number of open file descriptors."),
            open_files(),
        ),
        metric(
            Family::gauge("process_max_fds", "Maximum number of open file descriptors."),
            field(&limits, "Max open files"),
        ),
        metric(
            Family::gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            ),
            Some(seconds(started)),
        ),
    ]
    .into_iter()
    .flatten()
}

fn metric(mut family: Family, value: Option<f64>) -> Option<MetricFamily> {
    family.row(&[], value?);
    family.finish()
}

/// proc(5): fields 14 and 15. The second field is the name of the program in brackets, and may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    field(status, name).map(|kibibytes| kibibytes * 1024.0)
}

/// The first number after `name` at the start of a line. `unlimited` is none.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<f64> {
    // One of them is the folder being read.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 100 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(1.75));
    }

    #[test]
    fn fields_are_read_by_name_and_unlimited_is_left_out() {
        let status = "Name:\tx\nVmSize:\t     200 kB\nVmRSS:\t      12 kB\nThreads:\t4\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(12_288.0));
        assert_eq!(field(status, "Threads:"), Some(4.0));
        let limits = "Max open files            unlimited            1048576              files\n";
        assert_eq!(field(limits, "Max open files"), None);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let families: Vec<_> = families(Timestamp::UNIX_EPOCH).collect();
        let names: Vec<_> = families.iter().map(MetricFamily::name).collect();
        assert_eq!(
            names,
            [
                "process_cpu_seconds_total",
                "process_resident_memory_bytes",
                "process_virtual_memory_bytes",
                "process_threads",
                "process_open_fds",
                "process_max_fds",
                "process_start_time_seconds"
            ]
        );
    }
}
