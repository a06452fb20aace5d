//! The egress guard: whatever text a script gives as a URL, and whatever it redirects to, reading it never
//! crashes; what is read is canonical; and an address that passes is global unicast by a second, simpler
//! reading of the rules that shares no code with the first.
//!
//! The input is a URL, a host to put into one, or the 4 or 16 bytes of an address.
//!
//! `cargo +nightly fuzz run address -- -max_total_time=120`
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use lode_worker::broker::egress::address::check;
use lode_worker::broker::egress::host::{HostName, parse};
use lode_worker::broker::egress::policy::Pattern;

fuzz_target!(|data: &[u8]| {
    if let Ok(bytes) = <[u8; 4]>::try_from(data) {
        look_at(bytes.into());
    }
    if let Ok(bytes) = <[u8; 16]>::try_from(data) {
        look_at(bytes.into());
    }
    let text = String::from_utf8_lossy(data);
    for url in [text.to_string(), format!("https://{text}/"), format!("http://[{text}]:8080/")] {
        let Ok(target) = parse(&url) else { continue };
        assert_eq!(parse(target.url.as_str()), Ok(target.clone()), "not canonical: {url:?}");
        match &target.host {
            HostName::Address(address) => look_at(*address),
            // Nothing that a resolver could take for an address, or for two names.
            HostName::Name(name) => {
                assert!(name.parse::<IpAddr>().is_err(), "{url:?}");
                assert!(
                    !name.ends_with('.') && name.is_ascii() && !name.contains(['/', ':', '@', '%'])
                );
                assert_eq!(*name, name.to_ascii_lowercase());
                let last = name.rsplit('.').next().unwrap_or_default();
                assert!(!last.bytes().all(|b| b.is_ascii_digit()), "a number: {url:?}");
            }
        }
        if let Some(address) = target.host.literal() {
            look_at(address);
        }
    }
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.to_string().parse::<Pattern>(), Ok(pattern));
    }
});

fn look_at(address: IpAddr) {
    if check(address, &[]).is_err() {
        return;
    }
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            assert!(!v4.is_private() && !v4.is_loopback() && !v4.is_link_local(), "{v4}");
            assert!(!v4.is_documentation() && !v4.is_multicast() && !v4.is_broadcast(), "{v4}");
            assert!(a != 0 && a < 224, "{v4}");
            assert!(!(a == 100 && b & 0xc0 == 64), "{v4}");
            assert!(!(a == 198 && b & 0xfe == 18), "{v4}");
            assert!((a, b, c) != (192, 0, 0) && (a, b, c) != (192, 88, 99), "{v4}");
        }
        IpAddr::V6(v6) => {
            let text = format!("{v6}");
            assert!(text.starts_with('2') || text.starts_with('3'), "{v6}");
            let parts = v6.segments();
            assert!(parts[0] >= 0x2000 && parts[0] <= 0x3fff, "{v6}");
            assert!(parts[0] != 0x2002, "{v6}");
            assert!(!(parts[0] == 0x2001 && (parts[1] < 0x200 || parts[1] == 0xdb8)), "{v6}");
            assert!(!(parts[0] == 0x3fff && parts[1] < 0x1000), "{v6}");
            assert!(!(parts[5] == 0x5efe && parts[4] & 0xfcff == 0), "{v6}");
        }
    }
}
