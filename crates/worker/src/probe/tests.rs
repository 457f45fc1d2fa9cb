use super::*;

const DEBIAN: &str = "\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
const OLD: &str = "\
30 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 24 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

#[test]
fn control_groups_are_told_by_the_version_that_limits() {
    assert_eq!(cgroup_version(DEBIAN), Some(2));
    assert_eq!(cgroup_version(OLD), Some(1), "the second version beside the first limits nothing");
    assert_eq!(cgroup_version(""), None);
}

#[test]
fn a_host_is_read_from_its_files_and_what_is_missing_counts_as_not_there() {
    let root = tempfile::tempdir().expect("temp dir");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        std::fs::write(path, text).expect("write");
    };
    assert_eq!(look(root.path()), HostProbe::default());
    write("proc/self/mountinfo", DEBIAN);
    write("sys/class/drm/card0/device/vendor", "0x1002\n");
    write("sys/class/drm/card1/device/vendor", "0x1af4\n");
    write("proc/driver/nvidia/version", "NVRM");
    let found = look(root.path());
    assert_eq!(found.cgroup_version, Some(2));
    assert_eq!(found.gpus, ["amd", "nvidia"], "a virtual card is none");
}
