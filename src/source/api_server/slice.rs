//! The `EndpointSlice` `default/kubernetes`: where each replica of the API server is.
//!
//! The API servers write it themselves (kubernetes `pkg/controlplane/reconcilers`): one slice of one address family,
//! under the name of the service, with a port named `https`. One that ends takes itself out, one that died falls out
//! after some 15 s.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::client::Cause;

/// Far more than any control plane has.
pub(super) const MAX_ENDPOINTS: usize = 100;

/// The endpoints of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// In order, each once.
    pub(super) addresses: Vec<SocketAddr>,
    /// Why not all are among them, if so.
    pub(super) partial: Option<Cause>,
}

impl Slice {
    /// Reads the object. Conditions are not looked at: the reconciler lists those only that are ready, and where
    /// another hand wrote the slice, asking one that takes no traffic at the moment errs towards keeping its keys.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Cause> {
        let not_json = |reason: String| Cause::NotJson { reason };
        let object: Object = serde_json::from_slice(body).map_err(|error| {
            not_json(format!(
                "no EndpointSlice: line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        if object.kind != "EndpointSlice" {
            return Err(not_json("no EndpointSlice".into()));
        }
        let endpoints = object.endpoints.unwrap_or_default();
        if endpoints.is_empty() {
            return Ok(Self {
                addresses: Vec::new(),
                partial: None,
            });
        }
        let port = https(&object.ports.unwrap_or_default())
            .ok_or_else(|| not_json("an EndpointSlice without a port named https".into()))?;
        // All addresses of an endpoint lead to the same one.
        let named: Vec<_> = endpoints
            .iter()
            .filter_map(|endpoint| endpoint.addresses.first())
            .collect();
        let mut addresses: Vec<_> = named
            .iter()
            .filter_map(|address| address.parse::<IpAddr>().ok())
            .map(|address| SocketAddr::new(address, port))
            .collect();
        let is_odd = addresses.len() < endpoints.len();
        addresses.sort_unstable();
        addresses.dedup();
        let is_long = addresses.len() > MAX_ENDPOINTS;
        addresses.truncate(MAX_ENDPOINTS);
        let partial = match (is_odd, is_long) {
            (_, true) => Some(not_json(format!("more than {MAX_ENDPOINTS} endpoints"))),
            (true, _) => Some(not_json("an endpoint without an IP address".into())),
            _ => None,
        };
        Ok(Self { addresses, partial })
    }
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
struct Endpoint {
    addresses: Vec<String>,
}

#[derive(Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
}

/// The port of that name, or the only one.
fn https(ports: &[Port]) -> Option<u16> {
    let port = match ports {
        [only] => Some(only),
        several => several.iter().find(|port| port.name.as_deref() == Some("https")),
    };
    port?.port.filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(object: &Value) -> Result<(Vec<String>, bool), String> {
        let slice = Slice::parse(object.to_string().as_bytes()).map_err(|cause| cause.to_string())?;
        let addresses = slice.addresses.iter().map(ToString::to_string).collect();
        Ok((addresses, slice.partial.is_none()))
    }

    /// As a cluster made by kubeadm has it.
    fn object(addresses: &[&str]) -> Value {
        let endpoint = |address| json!({ "addresses": [address], "conditions": { "ready": true } });
        let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
        json!({
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "resourceVersion": "217",
                "labels": { "kubernetes.io/service-name": "kubernetes" },
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{ "name": "https", "protocol": "TCP", "port": 6443 }],
        })
    }

    fn whole(addresses: &[&str]) -> (Vec<String>, bool) {
        (addresses.iter().map(ToString::to_string).collect(), true)
    }

    #[test]
    fn each_endpoint_is_an_address_with_the_port_named_https() {
        let mut object = object(&["10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.2"]);
        let expected = Ok(whole(&["10.0.0.1:6443", "10.0.0.2:6443", "[fd00::1]:6443"]));
        assert_eq!(parsed(&object), expected, "each once, in order");
        object["ports"] = json!([{ "name": "metrics", "port": 1 }, { "name": "https", "port": 6443 }]);
        assert_eq!(parsed(&object), expected);
        object["ports"] = json!([{ "name": "", "port": 6443 }]);
        assert_eq!(parsed(&object), expected, "the only one");
    }

    #[test]
    fn one_that_is_not_ready_is_asked_like_any_other() {
        let mut object = object(&["10.0.0.1", "10.0.0.2"]);
        object["endpoints"][0]["conditions"] =
            json!({ "ready": false, "serving": false, "terminating": true });
        object["endpoints"][1]
            .as_object_mut()
            .unwrap()
            .remove("conditions");
        assert_eq!(parsed(&object), Ok(whole(&["10.0.0.1:6443", "10.0.0.2:6443"])));
    }

    #[test]
    fn an_empty_slice_is_none_the_less_one() {
        let mut empty = object(&[]);
        assert_eq!(parsed(&empty), Ok(whole(&[])));
        empty["endpoints"] = Value::Null;
        empty["ports"] = Value::Null;
        assert_eq!(parsed(&empty), Ok(whole(&[])));
    }

    #[test]
    fn what_cannot_be_asked_makes_a_slice_partial() {
        let names = object(&["10.0.0.1", "api.example.com"]);
        assert_eq!(parsed(&names), Ok((vec!["10.0.0.1:6443".into()], false)));
        let many: Vec<_> = (0..200).map(|last| format!("10.0.0.{last}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let (addresses, is_whole) = parsed(&object(&many)).unwrap();
        assert_eq!((addresses.len(), is_whole), (MAX_ENDPOINTS, false));
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        let mut portless = object(&["10.0.0.1"]);
        portless["ports"] = json!([]);
        let mut zero = object(&["10.0.0.1"]);
        zero["ports"][0]["port"] = json!(0);
        let mut huge = object(&["10.0.0.1"]);
        huge["ports"][0]["port"] = json!(70_000);
        for refused in [
            portless,
            zero,
            huge,
            json!({}),
            json!([]),
            json!({ "kind": "Status", "status": "Failure" }),
            json!({ "kind": "EndpointSlice", "endpoints": "all" }),
        ] {
            assert!(parsed(&refused).is_err(), "{refused}");
        }
        assert!(Slice::parse(b"<html>").is_err());
    }
}
