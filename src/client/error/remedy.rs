//! What to do about a failed request: a line of advice for each cause, by the kind of place that was asked.

use super::{Asked, Cause, Phase};
use crate::client::status::{Grounds, Refusal};

impl Cause {
    /// What to do about it: a sentence, or several.
    pub(crate) fn remedy(&self, asked: Asked) -> String {
        let is_api_server = matches!(asked, Asked::ApiServer | Asked::EndpointSlice | Asked::ConfigMap);
        let said = match self {
            Self::Unauthorized { said, .. } | Self::Forbidden { said, .. } | Self::Status { said, .. } => {
                said.as_ref()
            }
            _ => None,
        };
        if let Some(remedy) = said.and_then(|said| said.grounds.remedy()) {
            return format!("{remedy}.");
        }
        let advice = match self {
            Self::Resolve { .. } => "Check the host name, and the DNS of this machine",
            Self::Refused => "Check that the server is running, and the address and port",
            Self::Unreachable { .. } => {
                "Check the address, and the network between (routes, firewalls, NetworkPolicy)"
            }
            Self::Timeout {
                phase: Phase::Connect,
                ..
            } => {
                "Check the address, and that nothing between (a firewall, a NetworkPolicy) drops the connection"
            }
            Self::Timeout {
                phase: Phase::File, ..
            } => "Check the file system: a network mount that hangs?",
            Self::Timeout {
                phase: Phase::Plugin, ..
            } => "Run the plugin by hand to see what it waits for",
            Self::Timeout { .. } => "Check the server's health and load, or raise the source's timeout",
            Self::Interrupted {
                phase: Phase::Headers,
            } => {
                "Check the server's log (does it want a client certificate?), and any balancer or proxy between"
            }
            Self::Interrupted { .. } => "Check the server's log, and any balancer or proxy between",
            Self::Proxy { .. } => {
                "Check HTTPS_PROXY or the kubeconfig's proxy-url, or name the host in NO_PROXY to go there directly"
            }
            Self::UnknownCa if is_api_server => {
                "Give the cluster's own CA (kube-root-ca.crt, or certificate-authority of a kubeconfig) as caFile: was the \
                 cluster made anew, or is this another one?"
            }
            Self::UnknownCa => "Name the CA that signed it as caFile",
            Self::WrongName { .. } if is_api_server => {
                "Use an address that the certificate names, or give a name that it has as tlsServerName"
            }
            Self::WrongName { .. } => "Use a host name that the certificate is for",
            Self::Expired => "Renew the server's certificate, or check the clock of this machine",
            Self::NotYetValid => "Check the clock of this machine and of the one that made the certificate",
            Self::Certificate { .. } | Self::Handshake { .. } => {
                "Check the server's certificate and TLS settings"
            }
            Self::NotTls => {
                "Check the port, and whether the URL should go elsewhere: https is asked for here"
            }
            Self::Alert { .. } => "Check whether the server wants a client certificate, and its log",
            Self::NotHttp { .. } => "Check the address and port: another kind of server answers there",
            Self::Unauthorized { sent: false, .. } if is_api_server => {
                "Give credentials: tokenFile with the token of a service account, or a kubeconfig that has some"
            }
            Self::Unauthorized { sent: true, .. } if is_api_server => {
                "Check that the token or client certificate is of this cluster and has not expired"
            }
            Self::Unauthorized { sent: false, .. } => "Give a bearer token as tokenFile",
            Self::Unauthorized { sent: true, .. } => {
                "Check that the token in tokenFile is valid for this server"
            }
            Self::Forbidden { user, sent, said } if is_api_server => {
                return forbidden(asked, user.as_deref(), *sent, said.as_ref());
            }
            Self::Forbidden { .. } => "Check what the token in tokenFile is allowed to read",
            Self::NotFound if asked == Asked::EndpointSlice => {
                "Set endpoints: false if this API server does not list its replicas (--endpoint-reconciler-type=none)"
            }
            Self::NotFound if is_api_server => {
                "Check that this is a Kubernetes API server (1.21 or later). One answers 404 on both of its documents while \
                 its --service-account-issuer is not an https URL, or one of its --service-account-key-file files holds a \
                 key that cannot be in a JWKS (P-224): its log names it"
            }
            Self::NotFound => "Check the path of the URL",
            Self::Redirect { .. } => {
                "Redirects are not followed, since keys from elsewhere would be published: give the final URL, or check \
                 for a login page in front of the server"
            }
            Self::Status { status, .. } if status.as_u16() == 406 => {
                "Check what is in front of the server: it was asked for */*"
            }
            Self::Status { status, .. } if status.as_u16() == 429 => {
                "Raise the refresh interval, or the server's limits"
            }
            Self::Status { status, .. } if status.as_u16() == 304 => {
                "That nothing has changed was not asked: check the cache or proxy in front of the server"
            }
            Self::Status { status, .. } if status.is_redirection() => {
                "It names no other place to ask: check the URL, and what is in front of the server"
            }
            Self::Status { status, .. } if matches!(status.as_u16(), 501 | 505) => {
                "The server does not know this kind of request: check the URL, and what is in front of the server"
            }
            Self::Status { status, .. } if matches!(status.as_u16(), 502..=504) => {
                "Check the health and the log of the server, and of what is in front of it"
            }
            Self::Status { status, .. } if status.is_server_error() => "Check the server's health and log",
            Self::Status { .. } => {
                "Only 200 is taken for an answer: check the URL, and what is in front of the server"
            }
            Self::TooLarge { .. } => "Check what it is: no set of public keys is that large",
            Self::Encoded => "Turn compression off for this document",
            Self::Empty => "Check what fills the document",
            Self::Html => "Check the URL, and for a login page or captive portal in front of the server",
            Self::NotJson { .. } => "Check the URL, and what is in front of the server",
            Self::File { .. } => "Check the path, its content and its permissions",
            Self::Settings { remedy, .. } => return remedy.clone(),
            Self::Internal { .. } => "It is tried again; please report it",
        };
        if advice.ends_with('?') {
            advice.to_owned()
        } else {
            format!("{advice}.")
        }
    }
}

/// What to do about a 403 of an API server. Roles are the remedy only where its authorization refused.
fn forbidden(asked: Asked, user: Option<&str>, sent: bool, said: Option<&Refusal>) -> String {
    let grant = || match asked {
        Asked::ConfigMap => {
            "Give it a Role that may get and update this ConfigMap, and create ConfigMaps in its namespace: \
             deploy/kubernetes/rbac.yaml has one."
                .to_owned()
        }
        Asked::EndpointSlice if sent => grant_endpoints(user),
        _ => bind_role(user, sent),
    };
    match said {
        Some(said) if said.grounds == Grounds::Rights => grant(),
        Some(_) => "That is its own reason: it is no missing right of RBAC.".to_owned(),
        None => format!(
            "It gives no reason of its own: check what is in front of the API server (a proxy, a firewall). If its \
             authorization refused: {}",
            grant()
        ),
    }
}

/// Who may read the documents of an API server is said by a cluster role that every cluster has, bound to all service
/// accounts by default.
fn bind_role(user: Option<&str>, sent: bool) -> String {
    const ROLE: &str = "system:service-account-issuer-discovery";
    if user == Some("system:anonymous") || !sent {
        return format!(
            "Give credentials (tokenFile, or a kubeconfig that has some): an anonymous client lacks the ClusterRole {ROLE}."
        );
    }
    let account = user.and_then(|user| user.strip_prefix("system:serviceaccount:"));
    let subject = match account {
        Some(account) => format!("--serviceaccount={account}"),
        None => "--serviceaccount=NAMESPACE:NAME".to_owned(),
    };
    format!(
        "Bind the ClusterRole {ROLE} to its service account (or user): kubectl create clusterrolebinding oidc-issuer-discovery --clusterrole={ROLE} \
         {subject}"
    )
}

/// Listing the endpoints of the API server is the one right that is not everyone's.
fn grant_endpoints(user: Option<&str>) -> String {
    let account = user.and_then(|user| user.strip_prefix("system:serviceaccount:"));
    let account = account.unwrap_or("NAMESPACE:NAME");
    format!(
        "Let it get the EndpointSlice kubernetes in namespace default, as deploy/kubernetes/endpoints does: kubectl -n \
         default create role oidc-issuer-endpoints --verb=get --resource=endpointslices.discovery.k8s.io \
         --resource-name=kubernetes; kubectl -n default create rolebinding oidc-issuer-endpoints \
         --role=oidc-issuer-endpoints --serviceaccount={account}. Or set endpoints: false to ask the one address only."
    )
}
