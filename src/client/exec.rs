//! Credential plugins of kubeconfigs (client-go `exec`), run only where the settings allow it.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kube::config::{ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use zeroize::Zeroizing;

use super::access::Access;
use super::fetch::{Identity, IdentityFault};
use super::{Cause, Phase};
use crate::fs;

/// Plugins ask the services of a cloud.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// How long what a plugin said is used; a refusal ends it earlier.
pub(super) const REUSE: Duration = Duration::from_mins(5);

/// What a plugin may write at most, in bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// What a plugin gave.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credentials {
    token: Option<String>,
    client_certificate_data: Option<String>,
    #[serde(default, deserialize_with = "wiped")]
    client_key_data: Option<Zeroizing<String>>,
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(Zeroizing::new))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Uses them.
    pub(super) fn give(&self, access: &mut Access) -> Result<(), Cause> {
        if let Some(token) = &self.token {
            access.bear(token.trim())?;
        }
        if let (Some(chain), Some(key)) = (&self.client_certificate_data, &self.client_key_data) {
            let identity = Identity::new(chain.as_bytes(), key.as_bytes()).map_err(|fault| match fault {
                IdentityFault::Unusable(reason) => failed(&format!(
                    "gave a client certificate that cannot be used: {reason}"
                )),
                IdentityFault::Mismatch => {
                    failed("gave a client certificate and a key that do not belong together")
                }
            })?;
            access.identity = Some(identity);
        }
        Ok(())
    }
}

/// Runs a plugin, and waits for it no longer than [`TIMEOUT`]. Blocking.
pub(super) fn run(exec: &ExecConfig) -> Result<Credentials, Cause> {
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(failed(
            "wants to ask a person (interactiveMode: Always), and there is none",
        ));
    }
    let deadline = Instant::now() + TIMEOUT;
    let mut child = Running(
        command(exec)?
            .spawn()
            .map_err(|error| failed(&format!("cannot be run: {error}")))?,
    );
    let output = child.output(deadline)?;
    let status = child.status(deadline)?;
    if !status.success() {
        return Err(failed(&format!("ended with {status}")));
    }
    credentials(&output)
}

fn command(exec: &ExecConfig) -> Result<Command, Cause> {
    let program = exec.command.as_deref().filter(|command| !command.is_empty());
    let mut command = Command::new(program.ok_or_else(|| failed("has no command"))?);
    command.args(exec.args.iter().flatten());
    let named =
        |entry: &HashMap<String, String>| Some((entry.get("name")?.clone(), entry.get("value")?.clone()));
    command.envs(exec.env.iter().flatten().filter_map(named));
    let mut spec = json!({ "interactive": false });
    if let Some(cluster) = &exec.cluster
        && let Ok(cluster) = serde_json::to_value(cluster)
    {
        spec["cluster"] = cluster;
    }
    let info = json!({ "apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec });
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    // What it writes to stderr might hold anything.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.process_group(0);
    Ok(command)
}

/// Ends with its whole process group when it is dropped.
struct Running(Child);

impl Running {
    fn output(&mut self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Cause> {
        let stdout = self.0.stdout.take().ok_or_else(|| failed("has no output"))?;
        let (done, output) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = done.send(fs::read_to_end(stdout, 0, MAX_OUTPUT));
        });
        match output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(Some(output))) => Ok(output),
            Ok(Ok(None)) => Err(failed(&format!("wrote more than {MAX_OUTPUT} bytes"))),
            Ok(Err(error)) => Err(failed(&format!("cannot be listened to: {error}"))),
            Err(_) => Err(timeout()),
        }
    }

    fn status(&mut self, deadline: Instant) -> Result<std::process::ExitStatus, Cause> {
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) => return Err(timeout()),
                Err(error) => return Err(failed(&format!("cannot be waited for: {error}"))),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn credentials(output: &[u8]) -> Result<Credentials, Cause> {
    #[derive(Deserialize)]
    struct ExecCredential {
        status: Option<Credentials>,
    }
    // client-go reads YAML here too, and some plugins write it.
    let parsed: ExecCredential =
        serde_saphyr::from_slice(output).map_err(|_| failed("did not write an ExecCredential"))?;
    let given = parsed
        .status
        .ok_or_else(|| failed("wrote an ExecCredential without a status"))?;
    if given.token.is_none() && given.client_certificate_data.is_none() {
        return Err(failed("gave neither a token nor a client certificate"));
    }
    Ok(given)
}

fn failed(how: &str) -> Cause {
    Cause::Settings {
        reason: format!("the credential plugin (exec) of the kubeconfig {how}"),
        remedy: "Run its command by hand as the user of this service to see why.".into(),
    }
}

fn timeout() -> Cause {
    Cause::Timeout {
        phase: Phase::Plugin,
        after: TIMEOUT,
    }
}

/// With `provideClusterInfo`, a plugin is told which cluster it is for.
pub(super) fn with_cluster(mut exec: ExecConfig, cluster: &kube::config::Cluster) -> ExecConfig {
    if exec.provide_cluster_info {
        exec.cluster = cluster.try_into().ok();
    }
    exec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Credentials, Cause> {
        run(&ExecConfig {
            command: Some("/bin/sh".into()),
            args: Some(vec!["-c".into(), script.into()]),
            env: Some(vec![HashMap::from([
                ("name".into(), "GREETING".into()),
                ("value".into(), "hello".into()),
            ])]),
            api_version: Some("client.authentication.k8s.io/v1".into()),
            ..ExecConfig::default()
        })
    }

    #[test]
    fn a_plugin_gives_a_token() {
        let given = shell(r#"echo '{"kind":"ExecCredential","status":{"token":"'$GREETING'"}}'"#).unwrap();
        assert_eq!(given.token.as_deref(), Some("hello"));
        let given = shell("printf 'status:\\n  token: from-yaml\\n'").unwrap();
        assert_eq!(given.token.as_deref(), Some("from-yaml"));
        let given = shell(
            r#"case $KUBERNETES_EXEC_INFO in *'"interactive":false'*) echo 'status: {token: told}';; esac"#,
        );
        assert_eq!(given.unwrap().token.as_deref(), Some("told"));
    }

    #[test]
    fn what_a_plugin_writes_is_never_shown() {
        for script in [
            "echo secret",
            "echo secret; exit 3",
            "echo '{\"status\":{}}'",
            "echo secret >&2; exit 1",
        ] {
            let error = shell(script).unwrap_err().to_string();
            assert!(
                error.starts_with("the credential plugin") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_plugin_that_cannot_be_run_is_said() {
        let exec = ExecConfig {
            command: Some("/nonexistent/plugin".into()),
            ..ExecConfig::default()
        };
        assert!(run(&exec).unwrap_err().to_string().contains("cannot be run"));
    }
}
