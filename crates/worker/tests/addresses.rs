//! The SSRF guard by table: addresses, and URLs in every spelling that has fooled somebody's filter.

use std::net::IpAddr;

use lode_worker::broker::egress::address::{Class, check, classify};
use lode_worker::broker::egress::host::{BadUrl, HostName, parse};
use lode_worker::broker::egress::policy::{Pattern, Policy};

const ADDRESSES: &[(&str, Class)] = &[
    // Global unicast, and the last and first beside special blocks.
    ("1.0.0.0", Class::GLOBAL),
    ("1.1.1.1", Class::GLOBAL),
    ("8.8.8.8", Class::GLOBAL),
    ("9.255.255.255", Class::GLOBAL),
    ("11.0.0.0", Class::GLOBAL),
    ("100.63.255.255", Class::GLOBAL),
    ("100.128.0.0", Class::GLOBAL),
    ("126.255.255.255", Class::GLOBAL),
    ("128.0.0.0", Class::GLOBAL),
    ("169.253.255.255", Class::GLOBAL),
    ("169.255.0.0", Class::GLOBAL),
    ("172.15.255.255", Class::GLOBAL),
    ("172.32.0.0", Class::GLOBAL),
    ("192.0.1.0", Class::GLOBAL),
    ("192.0.3.0", Class::GLOBAL),
    ("192.31.196.1", Class::GLOBAL),
    ("192.88.98.255", Class::GLOBAL),
    ("192.88.100.0", Class::GLOBAL),
    ("192.167.255.255", Class::GLOBAL),
    ("192.169.0.0", Class::GLOBAL),
    ("198.17.255.255", Class::GLOBAL),
    ("198.20.0.0", Class::GLOBAL),
    ("198.51.99.255", Class::GLOBAL),
    ("198.51.101.0", Class::GLOBAL),
    ("203.0.112.255", Class::GLOBAL),
    ("203.0.114.0", Class::GLOBAL),
    ("223.255.255.255", Class::GLOBAL),
    ("2000::1", Class::GLOBAL),
    ("2001:200::1", Class::GLOBAL),
    ("2001:4860:4860::8888", Class::GLOBAL),
    ("2001:db7:ffff::1", Class::GLOBAL),
    ("2001:db9::1", Class::GLOBAL),
    ("2003::1", Class::GLOBAL),
    ("2606:4700:4700::1111", Class::GLOBAL),
    ("2a00:1450:4001:82a::200e", Class::GLOBAL),
    ("3fff:1000::1", Class::GLOBAL),
    ("3fff:ffff::1", Class::GLOBAL),
    // IPv4.
    ("0.0.0.0", Class::THIS_NETWORK),
    ("0.0.0.1", Class::THIS_NETWORK),
    ("0.255.255.255", Class::THIS_NETWORK),
    ("10.0.0.0", Class::PRIVATE),
    ("10.255.255.255", Class::PRIVATE),
    ("100.64.0.0", Class::SHARED),
    ("100.100.100.200", Class::SHARED),
    ("100.127.255.255", Class::SHARED),
    ("127.0.0.1", Class::LOOPBACK),
    ("127.0.0.53", Class::LOOPBACK),
    ("127.255.255.255", Class::LOOPBACK),
    ("169.254.0.0", Class::LINK_LOCAL),
    ("169.254.169.254", Class::LINK_LOCAL),
    ("169.254.170.2", Class::LINK_LOCAL),
    ("172.16.0.0", Class::PRIVATE),
    ("172.17.0.1", Class::PRIVATE),
    ("172.31.255.255", Class::PRIVATE),
    ("192.0.0.0", Class::PROTOCOL),
    ("192.0.0.8", Class::PROTOCOL),
    ("192.0.0.170", Class::PROTOCOL),
    ("192.0.0.192", Class::PROTOCOL),
    ("192.0.2.1", Class::DOCUMENTATION),
    ("192.88.99.1", Class::SIX_TO_FOUR),
    ("192.168.0.1", Class::PRIVATE),
    ("192.168.255.255", Class::PRIVATE),
    ("198.18.0.0", Class::BENCHMARKING),
    ("198.19.255.255", Class::BENCHMARKING),
    ("198.51.100.7", Class::DOCUMENTATION),
    ("203.0.113.7", Class::DOCUMENTATION),
    ("224.0.0.1", Class::MULTICAST),
    ("239.255.255.250", Class::MULTICAST),
    ("240.0.0.1", Class::RESERVED),
    ("255.255.255.254", Class::RESERVED),
    ("255.255.255.255", Class::BROADCAST),
    // IPv6.
    ("::", Class::UNSPECIFIED),
    ("::1", Class::LOOPBACK),
    ("::2", Class::IPV4_COMPATIBLE),
    ("::127.0.0.1", Class::IPV4_COMPATIBLE),
    ("::8.8.8.8", Class::IPV4_COMPATIBLE),
    ("::ffff:127.0.0.1", Class::IPV4_MAPPED),
    ("::ffff:8.8.8.8", Class::IPV4_MAPPED),
    ("::ffff:a9fe:a9fe", Class::IPV4_MAPPED),
    ("::ffff:0:127.0.0.1", Class::IPV4_MAPPED),
    ("::1:0:0:1", Class::RESERVED),
    ("1::1", Class::RESERVED),
    ("64:ff9b::127.0.0.1", Class::NAT64),
    ("64:ff9b::8.8.8.8", Class::NAT64),
    ("64:ff9b:1::1", Class::NAT64),
    ("64:ff9b:1:ffff::10.0.0.1", Class::NAT64),
    ("64:ff9b:2::1", Class::RESERVED),
    ("100::1", Class::DISCARD),
    ("100:0:0:1::1", Class::DISCARD),
    ("100:0:0:2::1", Class::RESERVED),
    ("200::1", Class::RESERVED),
    ("1fff:ffff::1", Class::RESERVED),
    ("2001::1", Class::TEREDO),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Class::TEREDO),
    ("2001:1::1", Class::PROTOCOL),
    ("2001:2::1", Class::BENCHMARKING),
    ("2001:3::1", Class::PROTOCOL),
    ("2001:4:112::1", Class::PROTOCOL),
    ("2001:10::1", Class::ORCHID),
    ("2001:1f:ffff::1", Class::ORCHID),
    ("2001:20::1", Class::ORCHID),
    ("2001:2f:ffff::1", Class::ORCHID),
    ("2001:30::1", Class::PROTOCOL),
    ("2001:1ff:ffff::1", Class::PROTOCOL),
    ("2001:db8::1", Class::DOCUMENTATION),
    ("2002:7f00:1::1", Class::SIX_TO_FOUR),
    ("2002:808:808::1", Class::SIX_TO_FOUR),
    ("2606:4700::5efe:10.0.0.1", Class::ISATAP),
    ("2606:4700::200:5efe:8.8.8.8", Class::ISATAP),
    ("3fff::1", Class::DOCUMENTATION),
    ("3fff:fff:ffff::1", Class::DOCUMENTATION),
    ("4000::1", Class::RESERVED),
    ("5f00::1", Class::SRV6),
    ("5f01::1", Class::RESERVED),
    ("8000::1", Class::RESERVED),
    ("e000::1", Class::RESERVED),
    ("fbff::1", Class::RESERVED),
    ("fc00::1", Class::UNIQUE_LOCAL),
    ("fd00:ec2::254", Class::UNIQUE_LOCAL),
    ("fdff:ffff::1", Class::UNIQUE_LOCAL),
    ("fe00::1", Class::RESERVED),
    ("fe80::1", Class::LINK_LOCAL),
    ("febf::1", Class::LINK_LOCAL),
    ("fec0::1", Class::SITE_LOCAL),
    ("feff::1", Class::SITE_LOCAL),
    ("ff02::1", Class::MULTICAST),
    ("ff0e::1", Class::MULTICAST),
];

#[test]
fn every_address_has_its_class() {
    for (text, class) in ADDRESSES {
        let address: IpAddr = text.parse().expect(text);
        assert_eq!(classify(address), *class, "{text}");
        assert_eq!(
            check(address, &[]),
            if *class == Class::GLOBAL { Ok(()) } else { Err(*class) },
            "{text}"
        );
    }
}

/// What a URL comes to: an address of a class, a name to resolve, or nothing.
enum Verdict {
    Is(Class),
    Name(&'static str),
    Bad(BadUrl),
}
use Verdict::{Bad, Is, Name};

const URLS: &[(&str, Verdict)] = &[
    ("https://example.com", Name("example.com")),
    ("https://EXAMPLE.com:8443/a?b#c", Name("example.com")),
    ("https://example.com.", Name("example.com")),
    ("https://example.com..", Bad(BadUrl::Host)),
    ("https://.example.com", Bad(BadUrl::Host)),
    ("https://a..example.com", Bad(BadUrl::Host)),
    ("https://.", Bad(BadUrl::Host)),
    ("https://exämple.com", Name("xn--exmple-cua.com")),
    ("https://ｅｘａｍｐｌｅ.com", Name("example.com")),
    ("https://example。com", Name("example.com")),
    ("https://ex%61mple.com", Name("example.com")),
    ("https://exam\tple.com", Name("example.com")),
    (" https://example.com\n", Name("example.com")),
    ("https:\\\\example.com\\@127.0.0.1", Name("example.com")),
    ("https:example.com", Name("example.com")),
    ("https:////example.com", Name("example.com")),
    ("https://internal", Name("internal")),
    ("https://metadata.google.internal", Name("metadata.google.internal")),
    ("https://127.0.0.1.nip.io", Name("127.0.0.1.nip.io")),
    ("https://_dmarc.example.com", Name("_dmarc.example.com")),
    ("https://8.8.8.8", Is(Class::GLOBAL)),
    ("https://[2606:4700:4700::1111]:8443", Is(Class::GLOBAL)),
    // Loopback in numbers.
    ("http://127.0.0.1", Is(Class::LOOPBACK)),
    ("http://127.0.0.1.", Is(Class::LOOPBACK)),
    ("http://127.1", Is(Class::LOOPBACK)),
    ("http://127.0.1", Is(Class::LOOPBACK)),
    ("http://2130706433", Is(Class::LOOPBACK)),
    ("http://2130706433.", Is(Class::LOOPBACK)),
    ("http://017700000001", Is(Class::LOOPBACK)),
    ("http://0x7f000001", Is(Class::LOOPBACK)),
    ("http://0x7F.1", Is(Class::LOOPBACK)),
    ("http://0177.0.0.1", Is(Class::LOOPBACK)),
    ("http://0177.0x0.0.1", Is(Class::LOOPBACK)),
    ("http://127.000.000.001", Is(Class::LOOPBACK)),
    ("http://127.0x000000000000001", Is(Class::LOOPBACK)),
    ("http://１２７.0.0.1", Is(Class::LOOPBACK)),
    ("http://①②⑦.⓪.⓪.①", Is(Class::LOOPBACK)),
    ("http://127。0。0。1", Is(Class::LOOPBACK)),
    ("http://127．0｡0.1", Is(Class::LOOPBACK)),
    ("http://%31%32%37.0.0.1", Is(Class::LOOPBACK)),
    ("http://%EF%BC%91%EF%BC%92%EF%BC%97.1", Is(Class::LOOPBACK)),
    ("http://1\u{ad}27.0.0.1", Is(Class::LOOPBACK)),
    ("http:\\127.0.0.1", Is(Class::LOOPBACK)),
    ("http:/127.0.0.1", Is(Class::LOOPBACK)),
    ("HTTP://127.0.0.1:80/", Is(Class::LOOPBACK)),
    ("http://127.0.0.1:65535", Is(Class::LOOPBACK)),
    ("http://[::1]", Is(Class::LOOPBACK)),
    ("http://[0:0:0:0:0:0:0:1]", Is(Class::LOOPBACK)),
    ("http://[0000::0001]:80", Is(Class::LOOPBACK)),
    ("http://%5B::1%5D", Bad(BadUrl::Invalid)),
    ("http://[::ffff:127.0.0.1]", Is(Class::IPV4_MAPPED)),
    ("http://[::FFFF:7F00:1]", Is(Class::IPV4_MAPPED)),
    ("http://[::127.0.0.1]", Is(Class::IPV4_COMPATIBLE)),
    // Loopback by name.
    ("http://localhost", Is(Class::LOOPBACK)),
    ("http://LOCALHOST.", Is(Class::LOOPBACK)),
    ("http://LocalHost:8080", Is(Class::LOOPBACK)),
    ("http://a.b.localhost", Is(Class::LOOPBACK)),
    ("http://ｌｏｃａｌｈｏｓｔ", Is(Class::LOOPBACK)),
    ("http://ⓛocalhost", Is(Class::LOOPBACK)),
    ("http://%6cocalhost", Is(Class::LOOPBACK)),
    ("http://localhost.example.com", Name("localhost.example.com")),
    ("http://notlocalhost", Name("notlocalhost")),
    ("http://localhost.localdomain", Name("localhost.localdomain")),
    // This host, the cloud's metadata, the operator's network.
    ("http://0", Is(Class::THIS_NETWORK)),
    ("http://0/", Is(Class::THIS_NETWORK)),
    ("http://0x0", Is(Class::THIS_NETWORK)),
    ("http://00000000000.0", Is(Class::THIS_NETWORK)),
    ("http://[::]", Is(Class::UNSPECIFIED)),
    ("http://169.254.169.254/latest/meta-data/", Is(Class::LINK_LOCAL)),
    ("http://2852039166", Is(Class::LINK_LOCAL)),
    ("http://0xA9FEA9FE", Is(Class::LINK_LOCAL)),
    ("http://0251.0376.0251.0376", Is(Class::LINK_LOCAL)),
    ("http://169.254.43518", Is(Class::LINK_LOCAL)),
    ("http://169.16689662", Is(Class::LINK_LOCAL)),
    ("http://[::ffff:a9fe:a9fe]", Is(Class::IPV4_MAPPED)),
    ("http://[64:ff9b::169.254.169.254]", Is(Class::NAT64)),
    ("http://[2002:a9fe:a9fe::]", Is(Class::SIX_TO_FOUR)),
    ("http://[fd00:ec2::254]", Is(Class::UNIQUE_LOCAL)),
    ("http://10.1", Is(Class::PRIVATE)),
    ("http://0xa.0.0.1", Is(Class::PRIVATE)),
    ("http://192.168.257", Is(Class::PRIVATE)),
    ("http://100.100.100.200", Is(Class::SHARED)),
    ("http://[fe80::1]", Is(Class::LINK_LOCAL)),
    ("http://[fe80::1%25eth0]", Bad(BadUrl::Invalid)),
    ("http://[fe80::1%eth0]", Bad(BadUrl::Invalid)),
    ("http://[v1.::1]", Bad(BadUrl::Invalid)),
    ("http://::1", Bad(BadUrl::Invalid)),
    ("http://4294967295", Is(Class::BROADCAST)),
    ("http://4294967296", Bad(BadUrl::Invalid)),
    ("http://256.256.256.256", Bad(BadUrl::Invalid)),
    ("http://127.0.0.1.1", Bad(BadUrl::Invalid)),
    ("http://127.0.0.0x", Is(Class::LOOPBACK)),
    ("http://08.8.8.8", Bad(BadUrl::Invalid)),
    ("http://1.2.3.09", Bad(BadUrl::Invalid)),
    // Who is it really?
    ("https://example.com@127.0.0.1", Bad(BadUrl::Credentials)),
    ("https://127.0.0.1@example.com", Bad(BadUrl::Credentials)),
    ("https://:pw@example.com", Bad(BadUrl::Credentials)),
    ("https://user:@example.com", Bad(BadUrl::Credentials)),
    ("https://@example.com", Name("example.com")),
    ("https://example.com\\@127.0.0.1", Name("example.com")),
    ("https://127.0.0.1\\@example.com", Is(Class::LOOPBACK)),
    ("https://example.com#@127.0.0.1", Name("example.com")),
    ("https://example.com?@127.0.0.1", Name("example.com")),
    ("https://127.0.0.1#@example.com", Is(Class::LOOPBACK)),
    ("https://example.com%23@127.0.0.1", Bad(BadUrl::Credentials)),
    ("https://example.com%2f127.0.0.1", Bad(BadUrl::Invalid)),
    ("https://example.com%00.evil", Bad(BadUrl::Invalid)),
    ("https://exa mple.com", Bad(BadUrl::Invalid)),
    ("https://example.com:0", Bad(BadUrl::Host)),
    ("https://example.com:65536", Bad(BadUrl::Invalid)),
    ("https://example.com:80:443", Bad(BadUrl::Invalid)),
    ("https://example.com:", Name("example.com")),
    ("https://exa!mple.com", Bad(BadUrl::Host)),
    ("https://", Bad(BadUrl::Invalid)),
    ("", Bad(BadUrl::Invalid)),
    ("//example.com", Bad(BadUrl::Invalid)),
    ("/path", Bad(BadUrl::Invalid)),
    // Other schemes.
    ("file:///etc/passwd", Bad(BadUrl::Scheme)),
    ("ftp://example.com", Bad(BadUrl::Scheme)),
    ("gopher://127.0.0.1:6379/_FLUSHALL", Bad(BadUrl::Scheme)),
    ("dict://127.0.0.1:11211/", Bad(BadUrl::Scheme)),
    ("ws://example.com", Bad(BadUrl::Scheme)),
    ("data:text/plain,x", Bad(BadUrl::Scheme)),
    ("blob:https://example.com/x", Bad(BadUrl::Scheme)),
    ("javascript:alert(1)", Bad(BadUrl::Scheme)),
    ("httpss://example.com", Bad(BadUrl::Scheme)),
    ("unix:/run/docker.sock", Bad(BadUrl::Scheme)),
];

#[test]
fn every_spelling_of_a_url_has_its_verdict() {
    for (url, verdict) in URLS {
        let parsed = parse(url);
        match (verdict, &parsed) {
            (Is(class), Ok(target)) => {
                let address =
                    target.host.literal().unwrap_or_else(|| panic!("{url:?}: {target:?}"));
                assert_eq!(classify(address), *class, "{url:?}: {target:?}");
            }
            (Name(name), Ok(target)) => {
                assert_eq!(target.host, HostName::Name((*name).into()), "{url:?}");
                assert_eq!(target.host.literal(), None, "{url:?}");
            }
            (Bad(why), Err(bad)) => assert_eq!(bad, why, "{url:?}"),
            _ => panic!("{url:?}: {parsed:?}"),
        }
        // What is sent is what was checked: reading the canonical URL again changes nothing.
        if let Ok(target) = parsed {
            assert_eq!(parse(target.url.as_str()), Ok(target.clone()), "{url:?}");
        }
    }
    assert_eq!(parse(&format!("https://example.com/{}", "a".repeat(9000))), Err(BadUrl::Invalid));
    assert_eq!(parse(&format!("https://{}.com/", "a".repeat(64))), Err(BadUrl::Host));
    assert_eq!(parse(&format!("https://{}com/", "a.".repeat(126))), Err(BadUrl::Host));
    assert!(ADDRESSES.len() + URLS.len() > 200);
}

#[test]
fn allowed_networks_open_what_they_hold_and_nothing_else() {
    let allowed = ["10.1.0.0/16", "64:ff9b::/96", "::ffff:0:0/96", "fd00::/8", "2002::/16"];
    let allowed: Vec<_> =
        allowed.iter().map(|network| network.parse().expect("a network")).collect();
    for (address, passes) in [
        ("10.1.2.3", true),
        ("10.2.0.1", false),
        ("127.0.0.1", false),
        ("8.8.8.8", true),
        ("fd12::1", true),
        ("fc00::1", false),
        // What they carry must pass as well.
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b::10.1.2.3", true),
        ("64:ff9b::10.2.0.1", false),
        ("64:ff9b::127.0.0.1", false),
        ("::ffff:8.8.8.8", true),
        ("::ffff:169.254.169.254", false),
        ("2002:808:808::1", true),
        ("2002:7f00:1::1", false),
    ] {
        let parsed: IpAddr = address.parse().expect(address);
        assert_eq!(check(parsed, &allowed).is_ok(), passes, "{address}");
    }
}

#[test]
fn an_allow_list_allows_what_it_says() {
    let list = [
        "api.example.com",
        "*.Example.org.",
        "http://old.example.net",
        "s.example.com:8443",
        "[2606:4700::1]",
        "bücher.example",
    ];
    let policy = Policy::new(list).expect("all are patterns");
    for (url, allowed) in [
        ("https://api.example.com/any?thing", true),
        ("https://API.example.com.:443", true),
        ("https://api.example.com:8443", false),
        ("http://api.example.com", false),
        ("https://example.com", false),
        ("https://x.api.example.com", false),
        ("https://api.example.com.evil.com", false),
        ("https://evilapi.example.com", false),
        ("https://a.example.org", true),
        ("https://a.b.example.org", true),
        ("https://example.org", false),
        ("https://evilexample.org", false),
        ("https://a.example.org:444", false),
        ("http://old.example.net", true),
        ("http://old.example.net:8080", false),
        ("https://old.example.net", false),
        ("https://s.example.com:8443", true),
        ("https://s.example.com", false),
        ("https://[2606:4700:0::1]", true),
        ("https://xn--bcher-kva.example", true),
        ("https://BÜCHER.example", true),
    ] {
        assert_eq!(policy.allows(&parse(url).expect(url)), allowed, "{url}");
    }
    let json = r#"["api.example.com","*.example.org","http://old.example.net","s.example.com:8443","[2606:4700::1]","xn--bcher-kva.example"]"#;
    assert_eq!(serde_json::to_string(&policy).expect("JSON"), json);
    assert_eq!(serde_json::from_str::<Policy>(json).expect("a policy"), policy);
}

#[test]
fn what_is_no_host_to_allow_is_refused() {
    for text in [
        "",
        "*",
        "*.",
        "*.*.com",
        "a.*.com",
        "*example.com",
        "*.1.2.3.4",
        "*.[::1]",
        "https://",
        "ftp://a.com",
        "a.com/path",
        "a.com?x",
        "a.com#x",
        "u@a.com",
        "a.com:0",
        "a.com:x",
        "a..com",
        "a b.com",
        " a.com",
        "a.com\\x",
        "a%2ecom",
        "://a",
    ] {
        assert!(text.parse::<Pattern>().is_err(), "{text:?}");
    }
    let many = serde_json::to_string(&vec!["a.com"; 257]).expect("JSON");
    assert!(serde_json::from_str::<Policy>(&many).is_err());
}
