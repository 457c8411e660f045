//! How deep JSON is nested. Both sides of a worker's socket parse what they are sent with a limit of 128 levels, the frame's
//! own included: what comes from outside is kept well below, where it comes in.

use serde_json::Value;

/// Most levels of a request, of a plugin's description, or of anything else from outside.
pub const MAX_DEPTH: usize = 64;

/// Levels of arrays and objects in a value; 0 for one that is neither.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::depth;

    #[test]
    fn levels_are_those_of_the_deepest_part() {
        assert_eq!(
            [json!(1), json!([]), json!({ "a": [1, {}], "b": 2 })].map(|value| depth(&value)),
            [0, 1, 3]
        );
    }
}
