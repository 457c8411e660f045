//! Which jobs a command means, and the pages of the server's list that hold them.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;
use uuid::Uuid;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::story::Story;
use crate::job::JobState;

/// Most jobs that are asked for at once.
const PAGE: usize = 500;

/// Which jobs are meant.
#[derive(Args, Clone, Debug)]
pub(super) struct Filter {
    /// Only jobs in these states, separated by commas: accepting, accepted, running, succeeded, failed, cancelled
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_parser = state)]
    pub(super) state: Vec<JobState>,
    /// Only jobs whose (first) operation has this name
    #[arg(long, value_name = "NAME")]
    pub(super) operation: Option<String>,
}

fn state(text: &str) -> Result<JobState, String> {
    let all = || JobState::ALL.map(JobState::as_str).join(", ");
    JobState::parse(text).ok_or_else(|| format!("the states are {}", all()))
}

/// A page of the list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    jobs: Vec<Value>,
    next: Option<String>,
}

impl Page {
    /// The ids of its jobs.
    pub(super) fn ids(&self) -> Result<Vec<Uuid>, Failure> {
        self.jobs.iter().map(id_of).collect()
    }
}

/// The id of a job of the list.
pub(super) fn id_of(job: &Value) -> Result<Uuid, Failure> {
    let id = Story::read(job)?.id;
    Uuid::parse_str(id.as_str()).map_err(|_| Failure::Other(format!("`{id}` is no job's id")))
}

impl Filter {
    /// The path of the first page of at most `limit` jobs.
    fn path(&self, limit: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.state.is_empty() {
            let states: Vec<&str> = self.state.iter().map(|state| state.as_str()).collect();
            query.append_pair("state", &states.join(","));
        }
        if let Some(operation) = &self.operation {
            query.append_pair("operation", operation);
        }
        query.append_pair("limit", &limit.to_string());
        format!("/v1/jobs?{}", query.finish())
    }

    /// Gives the newest jobs, at most `most`, to `each`, page by page.
    pub(super) async fn pages(
        &self,
        client: &Client,
        most: usize,
        mut each: impl FnMut(&[Value]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut path = self.path(most.clamp(1, PAGE));
        let mut left = most;
        loop {
            let page: Page = client.get(&path).await?;
            let jobs = page.jobs.get(..left).unwrap_or(&page.jobs);
            each(jobs)?;
            left -= jobs.len();
            match page.next.filter(|next| left > 0 && next.starts_with('/')) {
                Some(next) => path = next,
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_asked_for_in_the_apis_words() {
        let filter =
            Filter { state: vec![JobState::Failed, JobState::Cancelled], operation: Some("a&b".to_owned()) };
        assert_eq!(filter.path(7), "/v1/jobs?state=failed%2Ccancelled&operation=a%26b&limit=7");
        let all = Filter { state: Vec::new(), operation: None };
        assert_eq!(all.path(500), "/v1/jobs?limit=500");
        assert!(state("lost").unwrap_err().contains("succeeded"));
    }
}
