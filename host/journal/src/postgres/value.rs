//! What a statement is asked with. A value says its type itself, so that a statement needs not be prepared to be understood.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// A statement's value.
pub(super) type Value = Box<dyn Typed>;

/// Makes a list of a statement's values.
macro_rules! values {
    ($($value:expr),* $(,)?) => { Vec::from([$(Box::new($value) as crate::postgres::value::Value),*]) };
}
pub(super) use values;

/// A value of a type that is known.
pub(super) trait Typed: Send + Sync {
    /// As the protocol takes it.
    fn sql(&self) -> &(dyn ToSql + Sync);
    /// What the database calls its type.
    fn kind(&self) -> Type;
}

/// Which type of the database's a type of ours is, alone or none; and a list of it.
macro_rules! typed {
    (@ $ours:ty, $kind:ident) => {
        impl Typed for $ours {
            fn sql(&self) -> &(dyn ToSql + Sync) {
                self
            }

            fn kind(&self) -> Type {
                Type::$kind
            }
        }
    };
    ($($ours:ty => $one:ident $(, $many:ident)?);* $(;)?) => {
        $(
            typed!(@ $ours, $one);
            typed!(@ Option<$ours>, $one);
            $(typed!(@ Vec<$ours>, $many);)?
        )*
    };
}

typed! {
    bool => BOOL;
    i64 => INT8, INT8_ARRAY;
    Uuid => UUID, UUID_ARRAY;
    String => TEXT, TEXT_ARRAY;
    &'static str => TEXT, TEXT_ARRAY;
    Vec<u8> => BYTEA;
}
