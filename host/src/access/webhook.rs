//! Signatures of webhooks as Standard Webhooks has them ("Signature scheme"): HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The header `webhook-signature` for a message of this `webhook-id`, `webhook-timestamp` (seconds since 1970) and body;
/// `key` is what [`imgserve_config::Webhooks::key`] gives.
pub(crate) fn sign(key: &[u8], id: &str, timestamp: u64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let mac = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::sign;
    use imgserve_config::Config;

    /// The example that the specification's libraries are tested with.
    #[test]
    fn the_specifications_example() {
        let config = Config::parse("[webhooks]\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'").unwrap();
        let key = config.webhooks.key().unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_331, body), signature);
    }
}
