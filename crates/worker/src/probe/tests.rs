use super::*;

const DEBIAN: &str = "\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
40 24 8:2 / /var/lib/containers rw,noatime shared:9 - xfs /dev/sdb1 rw,attr2,inode64,prjquota
41 24 8:3 / /srv/big\\040disk rw - xfs /dev/sdc1 rw,noquota
42 24 0:50 /@data /data rw - btrfs /dev/sdd rw,space_cache=v2";

fn quota(path: &str) -> (String, DiskQuota) {
    let storage = storage(&mounts(DEBIAN), Path::new(path)).expect("a file system");
    (storage.file_system, storage.quota)
}

#[test]
fn the_quota_is_that_of_the_innermost_mount() {
    for (path, kind, wanted) in [
        ("/var/lib/containers/storage", "xfs", DiskQuota::Projects),
        ("/var/lib/containersize", "ext4", DiskQuota::None),
        ("/srv/big disk/x", "xfs", DiskQuota::Unmounted),
        ("/data/containers", "btrfs", DiskQuota::Subvolumes),
        ("/sys/fs/cgroup", "cgroup2", DiskQuota::None),
    ] {
        assert_eq!(quota(path), (kind.to_owned(), wanted), "{path}");
    }
    let hidden = format!("{DEBIAN}\n50 40 0:60 / /var/lib/containers rw - tmpfs tmpfs rw");
    let storage = storage(&mounts(&hidden), Path::new("/var/lib/containers/storage")).expect("storage");
    assert_eq!(storage.file_system, "tmpfs", "the last mount on one point hides the others");
}

#[test]
fn control_groups_are_told_by_version_with_what_they_limit() {
    let unified = cgroups(&mounts(DEBIAN), "cpuset cpu io memory pids\n");
    assert_eq!(unified.0, Some(2));
    assert_eq!(unified.1, ["cpuset", "cpu", "io", "memory", "pids"]);
    let old = "\
30 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 24 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
    assert_eq!(cgroups(&mounts(old), ""), (Some(1), vec!["cpu".to_owned(), "pids".to_owned()]));
    assert_eq!(cgroups(&[], ""), (None, Vec::new()));
}

#[test]
fn a_host_is_read_from_its_files_and_what_is_missing_counts_as_not_there() {
    let root = tempfile::tempdir().expect("temp dir");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        std::fs::write(path, text).expect("write");
    };
    assert_eq!(look(root.path(), Some(Path::new("/var"))), HostProbe::default());
    write("proc/self/mountinfo", DEBIAN);
    write("proc/self/ns/user", "");
    write("proc/sys/user/max_user_namespaces", "0\n");
    assert!(!look(root.path(), None).user_namespaces, "turned off");
    write("proc/sys/user/max_user_namespaces", "96000\n");
    write("sys/class/drm/card0/device/vendor", "0x1002\n");
    write("sys/class/drm/card1/device/vendor", "0x1af4\n");
    write("proc/driver/nvidia/version", "NVRM");
    let found = look(root.path(), Some(Path::new("/data")));
    assert!(found.user_namespaces);
    assert_eq!(found.gpus, ["amd", "nvidia"], "a virtual card is none");
    assert_eq!(found.storage.map(|storage| storage.file_system).as_deref(), Some("btrfs"));
}
