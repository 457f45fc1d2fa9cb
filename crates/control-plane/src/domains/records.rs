//! What people have to write into their DNS.

use std::net::IpAddr;

use serde::Serialize;

use super::name;

/// Where requests for a domain are to arrive.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The app's name in its zone.
    pub host: &'a str,
    /// Whether that name leads to the proxies; that of a direct zone leads to a worker, which knows no domains.
    pub at_proxies: bool,
    /// Of the proxies, as far as they are known.
    pub addresses: &'a [IpAddr],
}

/// What is to be in the DNS, to be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = DomainRecords)]
pub struct Records {
    /// Shows whose the name is; it has to stay.
    pub proof: Record,
    /// Lead requests to the proxies.
    pub address: Vec<Record>,
    /// What else could be written, or has to be found out.
    pub note: Option<String>,
    /// All of them as lines of a zone file.
    pub zone_file: String,
}

/// A record of the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = DomainRecord)]
pub struct Record {
    pub name: String,
    /// `TXT`, `CNAME`, `A` or `AAAA`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub value: String,
}

impl Record {
    fn new(name: &str, kind: &'static str, value: impl ToString) -> Self {
        Self { name: name.to_owned(), kind, value: value.to_string() }
    }

    fn line(&self) -> String {
        let Self { name, kind, value } = self;
        match *kind {
            "TXT" => format!("{name}. 300 IN TXT \"{value}\"\n"),
            "CNAME" => format!("{name}. 300 IN CNAME {value}.\n"),
            kind => format!("{name}. 300 IN {kind} {value}\n"),
        }
    }
}

/// The records of one domain.
pub fn records(hostname: &str, token: &str, target: &Target<'_>) -> Records {
    let proof = Record::new(&name::proof(hostname), "TXT", token);
    let Target { host, at_proxies, addresses } = target;
    // A name as it is registered has records beside which no CNAME may stand.
    let apex = name::is_apex(hostname);
    let by_address = || {
        let kind = |address: &IpAddr| if address.is_ipv4() { "A" } else { "AAAA" };
        addresses.iter().map(|address| Record::new(hostname, kind(address), address)).collect::<Vec<_>>()
    };
    let (address, note) = match (at_proxies, apex) {
        (true, false) => (vec![Record::new(hostname, "CNAME", host)], None),
        (true, true) if addresses.is_empty() => (
            Vec::new(),
            Some(format!(
                "Write an ALIAS or ANAME record to {host}, or A and AAAA records with the addresses that {host} has"
            )),
        ),
        (true, true) => (
            by_address(),
            Some(format!(
                "Where the DNS provider has ALIAS or ANAME records, one to {host} instead follows when the addresses change"
            )),
        ),
        (false, _) if addresses.is_empty() => {
            (Vec::new(), Some("Write A and AAAA records with the addresses of the proxies".to_owned()))
        }
        (false, _) => (by_address(), None),
    };
    let zone_file = std::iter::once(&proof).chain(&address).map(Record::line).collect();
    Records { proof, address, note, zone_file }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hostname: &str, at_proxies: bool, addresses: &[IpAddr]) -> Records {
        let target = Target { host: "shop.route.example.com", at_proxies, addresses };
        records(hostname, "6e0c", &target)
    }

    #[test]
    fn each_kind_of_name_has_its_records() {
        let addresses = ["203.0.113.10", "2001:db8::10"].map(|text| text.parse().expect("address"));
        let table = [
            of("www.shop.example", true, &addresses),
            of("*.shop.example", true, &addresses),
            of("shop.example", true, &addresses),
            of("shop.example", true, &[]),
            of("www.shop.example", false, &addresses),
        ];
        let shown = table.map(|records| format!("{}{}", records.zone_file, records.note.unwrap_or_default()));
        insta::assert_snapshot!(shown.join("\n---\n"), @r#"
        _wisehosting.www.shop.example. 300 IN TXT "6e0c"
        www.shop.example. 300 IN CNAME shop.route.example.com.

        ---
        _wisehosting.shop.example. 300 IN TXT "6e0c"
        *.shop.example. 300 IN CNAME shop.route.example.com.

        ---
        _wisehosting.shop.example. 300 IN TXT "6e0c"
        shop.example. 300 IN A 203.0.113.10
        shop.example. 300 IN AAAA 2001:db8::10
        Where the DNS provider has ALIAS or ANAME records, one to shop.route.example.com instead follows when the addresses change
        ---
        _wisehosting.shop.example. 300 IN TXT "6e0c"
        Write an ALIAS or ANAME record to shop.route.example.com, or A and AAAA records with the addresses that shop.route.example.com has
        ---
        _wisehosting.www.shop.example. 300 IN TXT "6e0c"
        www.shop.example. 300 IN A 203.0.113.10
        www.shop.example. 300 IN AAAA 2001:db8::10
        "#);
    }
}
