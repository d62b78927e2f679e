//! What this machine or container has: cores, memory, the volume under a folder. Read from the system's own files;
//! where they do not say, the answer is "unknown" and never a guess.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A database with less memory than this fails on heavy reports.
pub const REPORT_MEMORY_BYTES_MIN: u64 = 1_000_000_000;

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// The address under which a listener can be reached from this machine.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

/// Memory that this process may use: the machine's, or the container's limit where that is lower.
pub fn memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_total(&text));
    match (machine, container_memory_bytes()) {
        (Some(machine), Some(container)) => Some(machine.min(container)),
        (machine, container) => machine.or(container),
    }
}

/// The container's limit of memory, if there is one.
pub fn container_memory_bytes() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        // Version 1 says "no limit" by a number near the largest.
        .filter(|bytes| *bytes < u64::MAX / 4)
}

/// Memory that a process takes at present.
pub fn resident_bytes(process_id: u32) -> Option<u64> {
    kilobytes_after(&fs::read_to_string(format!("/proc/{process_id}/status")).ok()?, "VmRSS:")
}

fn meminfo_total(text: &str) -> Option<u64> {
    kilobytes_after(text, "MemTotal:")
}

fn kilobytes_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A memory limit as the settings write it, in bytes.
pub fn memory_limit_bytes(text: &str) -> Option<u64> {
    let digits_end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits_end)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Whether the volume under a folder is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// The system says so.
    Yes,
    /// It lies on a device that is not encrypted by this system.
    No(String),
    /// The system does not say.
    Unknown(String),
}

/// Asks the system whether `dir` lies on an encrypted volume.
pub fn encryption_of(dir: &Path) -> Encryption {
    let Ok(mounts) = fs::read_to_string("/proc/mounts") else {
        return Encryption::Unknown("this system has no /proc/mounts".to_owned());
    };
    let Ok(dir) = dir.canonicalize() else {
        return Encryption::Unknown(format!("{} cannot be looked at", dir.display()));
    };
    let Some((source, kind)) = mount_of(&mounts, &dir) else {
        return Encryption::Unknown("its mount is not listed".to_owned());
    };
    if kind == "ecryptfs" || kind == "fuse.gocryptfs" {
        return Encryption::Yes;
    }
    let Some(device) = source.strip_prefix("/dev/") else {
        return Encryption::Unknown(format!("{source} ({kind}) is no device that can be looked into"));
    };
    let is_crypt = |name: &str| {
        let uuid = fs::read_to_string(format!("/sys/block/{name}/dm/uuid")).unwrap_or_default();
        uuid.starts_with("CRYPT-")
    };
    // A mapped device is a link to dm-N; below it may lie the encrypted one.
    let real = fs::canonicalize(source).unwrap_or_else(|_| PathBuf::from(source));
    let name = real.file_name().map_or_else(|| device.to_owned(), |name| name.to_string_lossy().into_owned());
    let below = fs::read_dir(format!("/sys/block/{name}/slaves"))
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_else(|_| Vec::new());
    if is_crypt(&name) || below.iter().any(|below| is_crypt(below)) {
        Encryption::Yes
    } else {
        Encryption::No(source.to_owned())
    }
}

/// The source and kind of the mount that `dir` lies on.
fn mount_of<'a>(mounts: &'a str, dir: &Path) -> Option<(&'a str, &'a str)> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(_, point, _)| dir.starts_with(point.replace("\\040", " ")))
        // Of two at the same point, the later one lies on top.
        .max_by_key(|(_, point, _)| point.len())
        .map(|(source, _, kind)| (source, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts() {
        let mounts =
            "/dev/sda1 / ext4 rw 0 0\n/dev/mapper/data /var/lib ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
        assert_eq!(mount_of(mounts, Path::new("/var/lib/eider")), Some(("/dev/mapper/data", "ext4")));
        assert_eq!(mount_of(mounts, Path::new("/var/library")), Some(("/dev/sda1", "ext4")));
    }

    #[test]
    fn memory_is_read_with_its_unit() {
        assert_eq!(memory_limit_bytes("512MiB"), Some(512 << 20));
        assert_eq!(memory_limit_bytes("1GB"), Some(1_000_000_000));
        assert_eq!(memory_limit_bytes("80%"), None);
        assert_eq!(meminfo_total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2_097_152));
    }
}
