//! Which addresses a call may reach.
//!
//! A base address is a setting, and a setting may be wrong or hostile: without `network.allow_private` a call
//! reaches public addresses only. The check sits in the resolver, so that the address that was checked is the
//! one connected. It must never trust a name: names resolve to whatever their owner likes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host that may not be reached.
#[derive(Debug)]
pub(super) struct BlockedAddress {
    host: String,
    address: Option<IpAddr>,
}

impl fmt::Display for BlockedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} ({address})", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl std::error::Error for BlockedAddress {}

/// Checks a host that is written as an address: the resolver never sees those.
pub(super) fn check_literal(url: &url::Url) -> Result<(), BlockedAddress> {
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        Some(url::Host::Domain(_)) | None => return Ok(()),
    };
    if is_public(address) { Ok(()) } else { Err(BlockedAddress { host: address.to_string(), address: None }) }
}

/// The system's resolver, with the addresses taken out that may not be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckedResolver {
    pub(super) allow_private: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let resolved: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                resolved.iter().copied().filter(|socket| allow_private || is_public(socket.ip())).collect();
            match (allowed.is_empty(), resolved.first()) {
                (true, Some(first)) => {
                    Err(BlockedAddress { host: name.as_str().to_owned(), address: Some(first.ip()) }.into())
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether `address` is one that the public internet routes.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_protocol_assignment = (first, second, third) == (192, 0, 0);
    let is_benchmarking = first == 198 && (18..20).contains(&second);
    !(first == 0
        || first >= 240
        || address.is_private()
        || address.is_loopback()
        // Also where clouds serve their machines' metadata.
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || is_shared
        || is_protocol_assignment
        || is_benchmarking)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is given out; everything else is loopback, local, multicast or reserved.
    let is_global_unicast = first & 0xe000 == 0x2000;
    let is_documentation = (first, second) == (0x2001, 0x0db8) || first == 0x3fff;
    // Teredo hides an IPv4 address in a scrambled form.
    let is_teredo = (first, second) == (0x2001, 0);
    is_global_unicast && !is_documentation && !is_teredo
}

/// The IPv4 address that a mapped, NAT64 or 6to4 address leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let [a, b, c, d] = match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => bytes_of(high, low),
        [0x2002, high, low, ..] => bytes_of(high, low),
        _ => return None,
    };
    Some(Ipv4Addr::new(a, b, c, d))
}

fn bytes_of(high: u16, low: u16) -> [u8; 4] {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    [a, b, c, d]
}
