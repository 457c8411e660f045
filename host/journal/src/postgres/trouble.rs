//! What goes wrong with a database, and what it means for what was asked of it.

use imgserve_base::fault::chain;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::JournalError;

/// Why a statement was not answered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The database says no to this very statement: what it asks for cannot be.
    Refused(String),
    /// The database says no for now: others were in the way. The same may work at once.
    InTheWay(String),
    /// The database says no for now: it is full, read-only, going down. Nothing was changed.
    Unable(String),
    /// The connection is lost, and nobody knows whether the change was made.
    Lost(String),
}

impl Trouble {
    /// Why.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::InTheWay(text) | Self::Unable(text) | Self::Lost(text) => text,
        }
    }

    /// As whoever asked for a change is told.
    pub(super) fn unwritable(&self) -> JournalError {
        JournalError::Unwritable { text: self.text().to_owned() }
    }

    /// As whoever asked a question is told.
    pub(super) fn unreadable(&self) -> JournalError {
        JournalError::Unreadable { text: self.text().to_owned() }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let text = failed(&error);
        let Some(state) = error.code() else { return Self::Lost(text) };
        match kind(state.code()) {
            Kind::Refused => Self::Refused(text),
            Kind::InTheWay => Self::InTheWay(text),
            Kind::Unable => Self::Unable(text),
            Kind::Lost => Self::Lost(text),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Refused,
    InTheWay,
    Unable,
    Lost,
}

/// What an SQLSTATE means (PostgreSQL, appendix A).
fn kind(code: &str) -> Kind {
    let in_the_way = [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
    ];
    // A shutdown may come between the commit and its answer.
    let lost = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    let is = |states: &[SqlState]| states.iter().any(|state| state.code() == code);
    match code.get(..2) {
        _ if is(&in_the_way) => Kind::InTheWay,
        _ if is(&lost) => Kind::Lost,
        Some("08") => Kind::Lost,
        // Data, constraints, limits of the program.
        Some("22" | "23" | "54") => Kind::Refused,
        _ => Kind::Unable,
    }
}

/// Why, without what the database adds of rows and statements.
pub(super) fn failed(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again_and_what_nobody_knows() {
        for (code, expected) in [
            ("40P01", Kind::InTheWay),
            ("55P03", Kind::InTheWay),
            ("57014", Kind::InTheWay),
            ("22021", Kind::Refused),
            ("23505", Kind::Refused),
            ("25006", Kind::Unable),
            ("53100", Kind::Unable),
            ("53300", Kind::Unable),
            ("42P01", Kind::Unable),
            ("57P01", Kind::Lost),
            ("57P03", Kind::Lost),
            ("08006", Kind::Lost),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
