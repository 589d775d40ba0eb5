//! What to do about a refusal: by the code that the storage gave, never by a guess from the status.

use super::Refused;
use crate::client::Cause;
use crate::objects::bucket::client::Kind;

impl Refused {
    /// `None` where the storage gave a code that is not known here: its own message says more than any guess.
    pub(super) fn remedy(&self) -> Option<String> {
        self.known_remedy().or_else(|| {
            let is_said = self.words.is_some();
            (!is_said).then(|| self.without_words())
        })
    }

    /// The remedy of a code.
    pub(super) fn known_remedy(&self) -> Option<String> {
        let words = self.words.as_ref()?;
        let message = words.message.to_ascii_lowercase();
        let of_kind = match self.kind {
            Kind::S3 => self.of_s3(&words.code, &message),
            Kind::Google => of_google(&words.code, &message).map(str::to_owned),
            Kind::Azure => of_azure(&words.code).map(str::to_owned),
        };
        of_kind.or_else(|| of_any(&words.code, self.status.as_u16()).map(str::to_owned))
    }

    fn of_s3(&self, code: &str, message: &str) -> Option<String> {
        let skew = || {
            let time = self.words.as_ref().and_then(|words| words.member("ServerTime"));
            let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
            let time = time
                .map(|time| format!(" (the storage's says {time})"))
                .unwrap_or_default();
            format!("Correct the clock of this machine{time}: it may differ by 15 minutes at most")
        };
        Some(match code {
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => skew(),
            "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
                "The storage does not know this access key: correct AWS_ACCESS_KEY_ID (a temporary one needs its \
                 AWS_SESSION_TOKEN too), and check that the endpoint is the storage that gave it"
                    .into()
            }
            "SignatureDoesNotMatch" => {
                "Correct AWS_SECRET_ACCESS_KEY; if it is right, a proxy between changes the host or the path of requests"
                    .into()
            }
            "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" if message.contains("kms") => kms(),
            "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" if self.is_write => {
                "Let the credentials do s3:PutObject on the objects of this prefix".into()
            }
            "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" => LIST.into(),
            "QuotaExceeded" | "ServiceQuotaExceeded" | "ServiceQuotaExceededException" | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage" | "InsufficientCapacity" => {
                "Raise the quota of the bucket or of its account, or free space there".into()
            }
            "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => self.in_another_region(),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                "Renew the credentials: the session token has expired".into()
            }
            "InvalidToken" => "Correct AWS_SESSION_TOKEN: it does not belong to this access key".into(),
            "InvalidIdentityToken" | "IDPCommunicationError" => {
                "Check the token in AWS_WEB_IDENTITY_TOKEN_FILE, and that AWS_ROLE_ARN trusts its issuer".into()
            }
            "NotImplemented" => PRECONDITIONS.into(),
            "NoSuchBucket" => "Create the bucket, or correct store.objectStorage.url".into(),
            "InvalidObjectState" => {
                "The object is archived: restore it, and exempt this prefix from archiving".into()
            }
            "NotSignedUp" | "OptInRequired" | "AccountProblem" => {
                "Check the account that the credentials belong to, and its billing".into()
            }
            "MethodNotAllowed" => "Check the endpoint: it must be that of the storage, not of a website".into(),
            code if code.starts_with("KMS") => kms(),
            _ => return None,
        })
    }

    fn in_another_region(&self) -> String {
        match &self.region {
            Some(region) => {
                format!("The bucket is in another region: set store.objectStorage.region: {region}")
            }
            None => {
                "The bucket is in another region, or at another endpoint: correct store.objectStorage.region and endpoint"
                    .into()
            }
        }
    }

    /// Nobody knows whether it was the storage that answered.
    fn without_words(&self) -> String {
        let place = match self.kind {
            Kind::Azure => "the account and the container",
            Kind::S3 | Kind::Google => "the bucket",
        };
        if self.region.is_some() {
            return self.in_another_region();
        }
        match self.status.as_u16() {
            501 => PRECONDITIONS.into(),
            301 | 302 | 303 | 307 | 308 if self.is_redirect => format!(
                "Redirects are not followed: give the final endpoint, and check for a login page in front of {place}"
            ),
            301 | 307 if self.kind == Kind::S3 => self.in_another_region(),
            403 if self.kind == Kind::S3 => format!(
                "It does not say why, so that it may come from something in front of the storage (a proxy, a firewall). \
                 {LIST}"
            ),
            _ => format!(
                "The storage itself says why it refuses, and this does not: check what is in front of {place} (a proxy, a \
                 login page, an ingress without endpoints), and the endpoint"
            ),
        }
    }
}

const LIST: &str = "Let the credentials do s3:GetObject and s3:PutObject on the objects of this prefix, and s3:ListBucket on \
                    the bucket: without s3:ListBucket, S3 answers 403 for an object that does not exist, and nothing is \
                    created before it says that there is none";

const PRECONDITIONS: &str = "Use a storage that honours If-Match and If-None-Match: with this one, replicas would overwrite \
                             each other";

fn kms() -> String {
    "Let the credentials use the key of the bucket (kms:Decrypt, kms:GenerateDataKey), and check that it is enabled".into()
}

fn of_google(code: &str, message: &str) -> Option<&'static str> {
    Some(match code {
        "UserProjectMissing" | "UserProjectInvalid" | "UserProjectAccessDenied" => {
            "The bucket makes its requester pay: turn that off for it, or use another bucket"
        }
        _ if message.contains("user project") || message.contains("userproject") => {
            "The bucket makes its requester pay: turn that off for it, or use another bucket"
        }
        "UserProjectAccountProblem" | "AccountProblem" | "accountDisabled" | "BillingDisabled" => {
            "Check the billing account of the project that has the bucket"
        }
        _ if message.contains("billing account") => {
            "Check the billing account of the project that has the bucket"
        }
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT" | "insufficientPermissions" | "InsufficientScopes" => {
            "Give the machine or pod the scope https://www.googleapis.com/auth/devstorage.read_write, or another identity"
        }
        "AccessDenied" | "forbidden" | "PERMISSION_DENIED" => {
            "Let the identity do storage.objects.get, storage.objects.create, storage.objects.delete (to replace an object) and \
             storage.objects.list there: the role Storage Object User (roles/storage.objectUser) has them"
        }
        "AuthenticationRequired"
        | "InvalidSecurity"
        | "Unauthorized"
        | "authError"
        | "required"
        | "UNAUTHENTICATED" => {
            "Check the credentials (GOOGLE_APPLICATION_CREDENTIALS or the machine's identity), and the clock of this machine"
        }
        "invalid_grant" => {
            "Check the service account's key (is it deleted or disabled?), and the clock of this machine"
        }
        "NoSuchBucket" | "notFound" => "Create the bucket, or correct store.objectStorage.url",
        "keyDisabled" | "KmsKeyDisabled" | "CustomerEncryptionKeyDisabled" => {
            "Enable the key that encrypts the bucket, and let the storage's service agent use it"
        }
        _ => return None,
    })
}

fn of_azure(code: &str) -> Option<&'static str> {
    Some(match code {
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => {
            "Check the account's key or the identity's token, and the clock of this machine: it may differ by 15 minutes at \
             most"
        }
        "AuthorizationFailure" => {
            "Check the network rules of the storage account (firewall, private endpoint), and whether it allows this kind of \
             credentials"
        }
        "AuthorizationSourceIPMismatch" | "IpAuthorizationError" => {
            "Let the account's network rules, or the SAS, allow the address of this machine"
        }
        "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => {
            "Give the identity the role Storage Blob Data Contributor on the container"
        }
        "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationProtocolMismatch" => "Make a SAS for blobs that may read, create and write objects",
        "KeyBasedAuthenticationNotPermitted" => {
            "The account takes no keys: use an identity (AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE)"
        }
        "NoAuthenticationInformation" | "PublicAccessNotPermitted" | "ResourceNotFound" => {
            "Give credentials: AZURE_STORAGE_ACCOUNT_KEY, or an identity of the machine or pod"
        }
        "ContainerNotFound" => "Create the container, or correct store.objectStorage.url",
        "ContainerBeingDeleted" | "ContainerDisabled" => {
            "The container is being deleted: use another one, or create it anew once it is gone"
        }
        "AccountIsDisabled" | "AccountBeingCreated" => {
            "Check the storage account: it is disabled, or not ready yet"
        }
        "LeaseIdMissing" | "LeaseIdMismatchWithBlobOperation" | "LeaseLost" => {
            "Release the lease on the object: someone holds it"
        }
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" => {
            "Exempt this prefix from the immutability policy: a ledger is replaced"
        }
        "BlobArchived" => "The object is archived: rehydrate it, and exempt this prefix from archiving",
        "ServerBusy" | "OperationTimedOut" | "IngressLimitExceeded" | "AccountLimitExceeded" => BUSY,
        "invalid_client" | "unauthorized_client" | "invalid_grant" => {
            "Check AZURE_CLIENT_ID, AZURE_TENANT_ID and the federated credential that trusts this pod's issuer"
        }
        code if code.starts_with("KeyVault") => {
            "Check the key in the vault that encrypts the account: it must be enabled and readable"
        }
        _ => return None,
    })
}

const BUSY: &str = "It is asked less often until it answers. If that lasts, check the limits of the account";

fn of_any(code: &str, status: u16) -> Option<&'static str> {
    Some(match code {
        "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "rateLimitExceeded"
        | "userRateLimitExceeded"
        | "RequestTimeout"
        | "backendError"
        | "RESOURCE_EXHAUSTED" => BUSY,
        "InternalError" | "internalError" | "XMinioServerNotInitialized" => "Check the health of the storage",
        "NotImplemented" => PRECONDITIONS,
        "quotaExceeded" => "Raise the quota of the project or account, or free space there",
        _ if status == 501 => PRECONDITIONS,
        _ => return None,
    })
}

/// What to do where there was no answer.
pub(super) fn of_connection(cause: &Cause) -> &'static str {
    match cause {
        Cause::Resolve { .. } | Cause::Refused | Cause::Unreachable { .. } => {
            "Check the endpoint, and the network between (DNS, routes, firewalls, NetworkPolicy)"
        }
        Cause::Timeout { .. } => "Check the network between, and the storage's health",
        Cause::Interrupted { .. } => "Check the endpoint, and any proxy between",
        Cause::Proxy { .. } => {
            "Check HTTPS_PROXY, or name the host of the storage in NO_PROXY to go there directly"
        }
        Cause::UnknownCa => "Name the CA that signed its certificate as caFile",
        Cause::WrongName { .. } => "Use an endpoint that the certificate is for",
        Cause::Expired | Cause::NotYetValid => "Renew its certificate, or check the clock of this machine",
        Cause::TooLarge { .. } => {
            "Check what it is: no ledger is that large. Remove it, or choose another prefix"
        }
        _ => "Check the endpoint: another kind of server?",
    }
}
