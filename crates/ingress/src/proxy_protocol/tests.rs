use proptest::prelude::*;

use super::*;

fn client(address: &str, tls: bool) -> Sender {
    Sender::Client { address: address.parse().expect("address"), tls }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn lines_of_version_1_are_read_to_their_end() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", client("192.0.2.7", false)),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", client("2001:db8::7", false)),
        ("PROXY UNKNOWN\r\n", Sender::Balancer),
        ("PROXY UNKNOWN ffff::1 whatever it is\r\n", Sender::Balancer),
    ] {
        assert_eq!(
            parse(format!("{line}GET / HTTP/1.1\r\n").as_bytes()),
            Ok((expected, line.len())),
            "{line}"
        );
    }
}

#[test]
fn lines_that_are_not_quite_version_1_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 1\r\n",
        "PROXY TCP4 192.0.2.7  10.0.0.1 12345 443\r\n",
        "PROXY TCP4 2001:db8::7 10.0.0.1 12345 443\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 12345 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 012345 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 1 443\r\n",
        "PROXY UDP4 192.0.2.7 10.0.0.1 1 443\r\n",
        "proxy TCP4 192.0.2.7 10.0.0.1 1 443\r\n",
        " PROXY UNKNOWN\r\n",
        "PROXY\r\n",
        "GET / HTTP/1.1\r\n",
        "PROXY UNKNOWN",
        "",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE));
    assert!(parse(long.as_bytes()).is_err());
}

#[test]
fn headers_of_version_2_are_read_with_their_extensions() {
    let v6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0; 4]].concat();
    let tls = [&V4[..], &[0x20, 0, 5, 0x01, 0, 0, 0, 0], &[0x04, 0, 0]].concat();
    let not_tls = [&V4[..], &[0x20, 0, 5, 0x00, 0, 0, 0, 0]].concat();
    for (header, expected) in [
        (v2(0x21, 0x11, &V4), client("192.0.2.7", false)),
        (v2(0x21, 0x21, &v6), client("2001:db8::7", false)),
        (v2(0x21, 0x11, &tls), client("192.0.2.7", true)),
        (v2(0x21, 0x11, &not_tls), client("192.0.2.7", false)),
        (v2(0x20, 0x00, &[]), Sender::Balancer),
        (v2(0x20, 0x11, &V4), Sender::Balancer),
        (v2(0x21, 0x00, b"whatever"), Sender::Balancer),
        (v2(0x21, 0x31, &[0; 216]), Sender::Balancer),
    ] {
        let length = header.len();
        let with_more = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&with_more), Ok((expected, length)), "{header:?}");
    }
}

#[test]
fn headers_that_are_not_quite_version_2_are_refused() {
    let cut = [&V4[..], &[0x20, 0, 9, 1]].concat();
    let headless = [&V4[..], &[0x20, 0]].concat();
    for header in [
        v2(0x11, 0x11, &V4),
        v2(0x22, 0x11, &V4),
        v2(0x21, 0x12, &V4),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x21, 0x21, &V4),
        v2(0x21, 0x11, &cut),
        v2(0x21, 0x11, &headless),
        v2(0x21, 0x11, &V4)[..27].to_vec(),
        SIGNATURE.to_vec(),
    ] {
        assert!(parse(&header).is_err(), "{header:?}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_no_more_is_taken_than_there_is(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 0..3,
    ) {
        match kind {
            1 => drop(bytes.splice(..0, SIGNATURE)),
            2 => drop(bytes.splice(..0, *b"PROXY TCP4 ")),
            _ => {}
        }
        if let Ok((_, length)) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
            prop_assert_eq!(parse(&bytes[..length]), parse(&bytes));
        }
    }
}
