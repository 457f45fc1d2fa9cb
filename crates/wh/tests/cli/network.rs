//! `wh network`.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

#[test]
fn a_place_that_is_no_network_is_told_with_its_rule_and_what_to_write() {
    let refused = json!({ "code": "invalid", "message": "`foo` is no network", "field": "egress[1].to",
                          "hint": "Write an address or a network, for example 203.0.113.7 or 10.0.0.0/8",
                          "request_id": "r1" });
    let mock = Mock::start(vec![("PUT /projects/shop/network/egress", reply(422, refused))]);
    let words = ["network", "egress", "shop", "--allow", "203.0.113.7:443", "--allow", "foo"];
    let run = User::new().wh(&mock, &words).failed(1);
    assert_eq!(
        run.err,
        "error: `foo` is no network (invalid, field egress[1].to, request r1)\n\
         hint: Write an address or a network, for example 203.0.113.7 or 10.0.0.0/8\n"
    );
    let rules = json!([{ "to": "203.0.113.7", "ports": [443] }, { "to": "foo", "ports": [] }]);
    assert_eq!(mock.asked()[0].json(), json!({ "egress": rules }));
}
