//! The memory that this process may use: the lowest limit of its control group and of the groups around it.

use std::path::{Path, PathBuf};

use crate::fs;

/// Version 1 writes "no limit" as the largest multiple of a page that fits into 64 bits. No machine has this much.
const NO_LIMIT: u64 = 1 << 60;

/// Where one hierarchy of control groups can be seen.
struct Mount {
    /// Which group of the hierarchy is at `point`: in a container often its own, not the root.
    root: PathBuf,
    point: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The limit in bytes, if there is one. `root` is `/`, except in tests.
pub(super) fn limit(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::system_text(root.join(path));
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    mounts_of(&mounts)
        .iter()
        .flat_map(|mount| limits(root, mount, &groups))
        .min()
}

/// The hierarchies that limit memory; where they usually are if the kernel does not say.
fn mounts_of(mountinfo: &str) -> Vec<Mount> {
    // 31 23 0:27 ROOT POINT rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
    let found: Vec<_> = mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            let mut fields = after.split(' ');
            let version = match (fields.next()?, fields.nth(1)?) {
                ("cgroup2", _) => Version::Two,
                ("cgroup", options) if options.split(',').any(|option| option == "memory") => Version::One,
                _ => return None,
            };
            Some(Mount {
                root: root.into(),
                point: point.into(),
                version,
            })
        })
        .collect();
    if !found.is_empty() {
        return found;
    }
    let usual = |point: &str, version| Mount {
        root: "/".into(),
        point: point.into(),
        version,
    };
    vec![
        usual("/sys/fs/cgroup", Version::Two),
        usual("/sys/fs/cgroup/memory", Version::One),
    ]
}

/// All limits that hold for this process in one hierarchy.
fn limits(root: &Path, mount: &Mount, groups: &str) -> Vec<u64> {
    // 0::/kubepods/pod1/container, 9:memory:/docker/1
    let group = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let here = match mount.version {
            Version::One => controllers.split(',').any(|controller| controller == "memory"),
            Version::Two => controllers.is_empty(),
        };
        here.then(|| PathBuf::from(path))
    });
    // A group outside of what can be seen is not below the mount, nor is one that begins with `..`: what can be seen is
    // then the group of the container.
    let below = group
        .as_deref()
        .and_then(|group| group.strip_prefix(&mount.root).ok())
        .filter(|below| !below.components().any(|part| part.as_os_str() == ".."))
        .unwrap_or(Path::new(""));
    let point = root.join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
    let mut limits = Vec::new();
    for group in below.ancestors() {
        let folder = point.join(group);
        let read = |file: &str| fs::system_text(folder.join(file));
        match mount.version {
            Version::Two => limits.extend(number(&read("memory.max"))),
            Version::One => {
                limits.extend(number(&read("memory.limit_in_bytes")));
                // Also of groups around it that cannot be seen.
                let stat = read("memory.stat");
                let line = stat
                    .lines()
                    .find_map(|line| line.strip_prefix("hierarchical_memory_limit "));
                limits.extend(line.and_then(number));
            }
        }
    }
    limits
}

/// `max` and the number that stands for it are no limit.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit on a machine with these files.
    fn with(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        limit(root.path())
    }

    const V2: (&str, &str) = (
        "proc/self/mountinfo",
        "23 1 0:22 / / rw - ext4 /dev/sda rw\n31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n",
    );

    #[test]
    fn the_lowest_of_nested_limits_counts_whichever_group_has_it() {
        for (outer, inner, limit) in [
            ("max", "134217728", Some(134_217_728)),
            ("67108864", "134217728", Some(67_108_864)),
            ("67108864", "max", Some(67_108_864)),
            ("max", "max", None),
        ] {
            let files = [
                V2,
                ("proc/self/cgroup", "0::/system.slice/oidc-issuer.service\n"),
                ("sys/fs/cgroup/system.slice/memory.max", outer),
                ("sys/fs/cgroup/system.slice/oidc-issuer.service/memory.max", inner),
                ("sys/fs/cgroup/user.slice/memory.max", "4096"),
            ];
            assert_eq!(with(&files), limit, "{outer} {inner}");
        }
    }

    #[test]
    fn in_a_container_the_mount_is_its_own_group() {
        // With a namespace for control groups, and without one.
        for group in ["0::/\n", "0::/kubepods/pod1/c1\n", "0::/../c2\n"] {
            let files = [
                V2,
                ("proc/self/cgroup", group),
                ("sys/fs/cgroup/memory.max", "134217728\n"),
            ];
            assert_eq!(with(&files), Some(134_217_728), "{group}");
        }
    }

    #[test]
    fn version_1_is_read_as_well_and_its_huge_number_is_no_limit() {
        let mounts = (
            "proc/self/mountinfo",
            "30 23 0:26 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
             31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        let group = (
            "proc/self/cgroup",
            "9:cpu,memory:/docker/1/worker\n0::/docker/1\n",
        );
        let limit_of = |own: &str, around: &str, stat: &str| {
            with(&[
                mounts,
                group,
                ("sys/fs/cgroup/memory/worker/memory.limit_in_bytes", own),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", around),
                ("sys/fs/cgroup/memory/worker/memory.stat", stat),
            ])
        };
        let huge = "9223372036854771712\n";
        assert_eq!(limit_of(huge, huge, ""), None);
        assert_eq!(limit_of("134217728\n", huge, ""), Some(134_217_728));
        assert_eq!(limit_of(huge, "134217728\n", ""), Some(134_217_728));
        let stat = "cache 0\nhierarchical_memory_limit 67108864\n";
        assert_eq!(limit_of("134217728\n", huge, stat), Some(67_108_864));
    }

    #[test]
    fn without_the_list_of_mounts_the_usual_places_are_read() {
        assert_eq!(with(&[("sys/fs/cgroup/memory.max", "1048576")]), Some(1_048_576));
        let v1 = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576");
        assert_eq!(with(&[v1]), Some(1_048_576));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("sys/fs/cgroup/memory.max", "?")]), None);
    }
}
