//! Builtin and native plugins: called through the sdk's C ABI table. They run in the worker's own memory, so a call that
//! takes too long can only be ended with the worker.

use std::rc::Rc;
use std::time::Duration;

use imgserve_sdk::abi::{self, Product, RunInput};
use imgserve_sdk::{Description, Host, Plan, SourceHeader, Window};

use super::call::{CallError, Plugin, Results};
use super::deadline::{Deadline, Expiry};

/// A plugin behind a table.
#[derive(Debug)]
pub(super) struct TablePlugin {
    plugin: abi::Plugin,
    limit: Option<Duration>,
    deadline: Rc<Deadline>,
}

impl TablePlugin {
    pub(super) fn new(plugin: abi::Plugin, limit: Option<Duration>, deadline: &Rc<Deadline>) -> Self {
        Self { plugin, limit, deadline: Rc::clone(deadline) }
    }

    fn timed<T>(&self, call: impl FnOnce() -> T) -> T {
        let _armed =
            self.limit.map(|limit| self.deadline.arm(self.deadline.limit(limit), Expiry::EndProcess));
        call()
    }
}

impl Plugin for TablePlugin {
    fn describe(&self, _: &Rc<dyn Host>) -> Result<Description, CallError> {
        Ok(self.timed(|| self.plugin.describe())?)
    }

    fn plan(&self, args: &[u8], header: &SourceHeader, host: &Rc<dyn Host>) -> Result<Plan, CallError> {
        Ok(self.timed(|| self.plugin.plan(args, header, host.as_ref()))?)
    }

    fn run(
        &self,
        args: &[u8],
        header: &SourceHeader,
        input: RunInput<'_>,
        window: Window,
        host: &Rc<dyn Host>,
    ) -> Result<Box<dyn Results>, CallError> {
        let results = self.timed(|| self.plugin.run(args, header, input, window, host.as_ref()))?;
        Ok(Box::new(results))
    }
}

impl Results for abi::Results {
    fn products(&self) -> Result<Vec<Product<'_>>, CallError> {
        Ok(abi::Results::products(self)?)
    }
}
