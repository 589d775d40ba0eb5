use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn everything_registers_and_renders() {
    let text = Metrics::new(at(0)).render().unwrap();
    assert!(text.contains("oidc_issuer_build_info{"), "{text}");
}
