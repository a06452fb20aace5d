//! Which addresses a request may be sent to: global unicast, and what the operator allows by network.
//!
//! The tables follow IANA's special-purpose address registries (RFC 6890 and its updates:
//! iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry) and the IPv6 address
//! space registry, of which only 2000::/3 is global unicast. Where a registry calls a part of a special
//! block globally reachable (192.0.0.9, parts of 2001::/23), it stays forbidden: no web service lives
//! there. Addresses that carry an IPv4 address (mapped, NAT64, 6to4, Teredo, ISATAP) are all forbidden,
//! whatever they carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What kind of address it is. All but [`Class::GLOBAL`] are forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(&'static str);

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Class { $($(#[$doc])* pub const $name: Self = Self($text);)* }
    };
}

classes! {
    /// Global unicast: a server on the internet.
    GLOBAL = "global unicast";
    /// `0.0.0.0/8`, RFC 1122: on Linux 0.0.0.0 connects to this very host.
    THIS_NETWORK = "this network";
    /// RFC 1918.
    PRIVATE = "private";
    /// RFC 6598: carrier-grade NAT, and what clouds number their own services from.
    SHARED = "shared (carrier-grade NAT)";
    /// `127.0.0.0/8` and `::1`.
    LOOPBACK = "loopback";
    /// `169.254.0.0/16`, where clouds keep their metadata services, and `fe80::/10`.
    LINK_LOCAL = "link-local";
    /// IETF protocol assignments: `192.0.0.0/24` and `2001::/23`.
    PROTOCOL = "IETF protocol assignment";
    /// TEST-NET-1 to -3, `2001:db8::/32`, `3fff::/20`.
    DOCUMENTATION = "documentation";
    /// RFC 2544 and RFC 5180.
    BENCHMARKING = "benchmarking";
    /// `192.88.99.0/24`, RFC 7526, and `2002::/16`.
    SIX_TO_FOUR = "6to4";
    /// Multicast of either family.
    MULTICAST = "multicast";
    /// `240.0.0.0/4`, and the parts of IPv6 that are not assigned to global unicast.
    RESERVED = "reserved";
    /// `255.255.255.255`.
    BROADCAST = "broadcast";
    /// `::`.
    UNSPECIFIED = "unspecified";
    /// `::ffff:0:0/96`, and SIIT's `::ffff:0:0:0/96` (RFC 2765).
    IPV4_MAPPED = "IPv4-mapped";
    /// `::/96`, deprecated by RFC 4291.
    IPV4_COMPATIBLE = "IPv4-compatible";
    /// `64:ff9b::/96` (RFC 6052) and `64:ff9b:1::/48` (RFC 8215).
    NAT64 = "NAT64";
    /// `100::/64` (RFC 6666) and the dummy prefix `100:0:0:1::/64`.
    DISCARD = "discard-only";
    /// `2001::/32`, RFC 4380.
    TEREDO = "Teredo";
    /// `2001:10::/28` and `2001:20::/28`, RFC 4843 and RFC 7343: hashes, not places.
    ORCHID = "ORCHID";
    /// `5f00::/16`, RFC 9602.
    SRV6 = "SRv6 segment identifier";
    /// `fc00::/7`, RFC 4193.
    UNIQUE_LOCAL = "unique local";
    /// `fec0::/10`, deprecated by RFC 3879.
    SITE_LOCAL = "site-local";
    /// Interface identifiers `::[0200:]5efe:a.b.c.d`, RFC 5214, below any prefix.
    ISATAP = "ISATAP";
}

impl Class {
    /// For messages: `"link-local"`.
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// The first match counts.
const V4: &[(Ipv4Addr, u32, Class)] = &[
    (Ipv4Addr::new(255, 255, 255, 255), 32, Class::BROADCAST),
    (Ipv4Addr::new(0, 0, 0, 0), 8, Class::THIS_NETWORK),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Class::PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Class::SHARED),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Class::LOOPBACK),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Class::LINK_LOCAL),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Class::PRIVATE),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Class::PROTOCOL),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Class::DOCUMENTATION),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Class::SIX_TO_FOUR),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Class::PRIVATE),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Class::BENCHMARKING),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Class::DOCUMENTATION),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Class::DOCUMENTATION),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Class::MULTICAST),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Class::RESERVED),
];

const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, 0, 0)
}

/// The first match counts.
const V6: &[(Ipv6Addr, u32, Class)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Class::UNSPECIFIED),
    (Ipv6Addr::LOCALHOST, 128, Class::LOOPBACK),
    (v6(0, 0, 0, 0, 0, 0xffff), 96, Class::IPV4_MAPPED),
    (v6(0, 0, 0, 0, 0xffff, 0), 96, Class::IPV4_MAPPED),
    (v6(0, 0, 0, 0, 0, 0), 96, Class::IPV4_COMPATIBLE),
    (v6(0x64, 0xff9b, 0, 0, 0, 0), 96, Class::NAT64),
    (v6(0x64, 0xff9b, 1, 0, 0, 0), 48, Class::NAT64),
    (v6(0x100, 0, 0, 0, 0, 0), 63, Class::DISCARD),
    (v6(0x2001, 0, 0, 0, 0, 0), 32, Class::TEREDO),
    (v6(0x2001, 2, 0, 0, 0, 0), 48, Class::BENCHMARKING),
    (v6(0x2001, 0x10, 0, 0, 0, 0), 28, Class::ORCHID),
    (v6(0x2001, 0x20, 0, 0, 0, 0), 28, Class::ORCHID),
    (v6(0x2001, 0, 0, 0, 0, 0), 23, Class::PROTOCOL),
    (v6(0x2001, 0xdb8, 0, 0, 0, 0), 32, Class::DOCUMENTATION),
    (v6(0x2002, 0, 0, 0, 0, 0), 16, Class::SIX_TO_FOUR),
    (v6(0x3fff, 0, 0, 0, 0, 0), 20, Class::DOCUMENTATION),
    (v6(0x5f00, 0, 0, 0, 0, 0), 16, Class::SRV6),
    (v6(0xfc00, 0, 0, 0, 0, 0), 7, Class::UNIQUE_LOCAL),
    (v6(0xfe80, 0, 0, 0, 0, 0), 10, Class::LINK_LOCAL),
    (v6(0xfec0, 0, 0, 0, 0, 0), 10, Class::SITE_LOCAL),
    (v6(0xff00, 0, 0, 0, 0, 0), 8, Class::MULTICAST),
];

/// What the registries say of an address.
pub fn classify(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => V4
            .iter()
            .find(|(network, length, _)| {
                (address.to_bits() ^ network.to_bits()).leading_zeros() >= *length
            })
            .map_or(Class::GLOBAL, |(_, _, class)| *class),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v6(address: Ipv6Addr) -> Class {
    let special = V6.iter().find(|(network, length, _)| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= *length
    });
    if let Some((_, _, class)) = special {
        return *class;
    }
    let parts = address.segments();
    if parts[0] & 0xe000 != 0x2000 {
        return Class::RESERVED;
    }
    // The universal/local and group bits of an ISATAP identifier may be either.
    if parts[4] & !0x0300 == 0 && parts[5] == 0x5efe { Class::ISATAP } else { Class::GLOBAL }
}

/// The IPv4 address that a translator on the way would really send to.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let parts = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match classify_v6(v6) {
        Class::IPV4_MAPPED | Class::IPV4_COMPATIBLE | Class::NAT64 | Class::ISATAP => {
            Some(join(parts[6], parts[7]))
        }
        Class::SIX_TO_FOUR => Some(join(parts[1], parts[2])),
        Class::TEREDO => Some(join(!parts[6], !parts[7])),
        _ => None,
    }
}

/// Whether a request may be sent to the address: it is global unicast, or lies in one of the networks
/// that the operator allows. One that carries an IPv4 address needs that to pass as well.
///
/// # Errors
/// Why not.
pub fn check(address: IpAddr, allowed: &[IpNet]) -> Result<(), Class> {
    let class = classify(address);
    if class == Class::GLOBAL {
        return Ok(());
    }
    if !allowed.iter().any(|network| network.contains(&address)) {
        return Err(class);
    }
    embedded(address).map_or(Ok(()), |inner| check(IpAddr::V4(inner), allowed).map_err(|_| class))
}
