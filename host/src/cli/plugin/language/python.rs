//! Python: `componentize-py`, the Bytecode Alliance's, which runs the sources' imports once and puts CPython and what came of that into
//! one component.

use std::path::PathBuf;
use std::process::Command;

use super::{Project, Template, Tool, on_path, run, version};
use crate::cli::failure::Failure;

pub(super) const TEMPLATE: Template = Template {
    files: &[
        ("src/plugin.py", include_str!("../../../../../plugins/dominant-py/src/plugin.py")),
        ("src/colours.py", include_str!("../../../../../plugins/dominant-py/src/colours.py")),
        ("test/test_colours.py", include_str!("../../../../../plugins/dominant-py/test/test_colours.py")),
    ],
    install: "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1",
    test: "python3 -m unittest discover test   # its unit tests, without a server",
    name: "dominant-py",
    what: "tells an image's most frequent colours",
    result: "default.json",
};

const MISSING: &str = "to build a plugin in Python, componentize-py is needed; type, in the plugin's folder,\n  \
    python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1\n\
    and try again";

#[derive(Debug)]
pub(super) struct ComponentizePy {
    program: PathBuf,
    version: String,
}

impl ComponentizePy {
    /// That of the folder's own environment, or whichever a shell finds.
    pub(super) fn find(project: &Project) -> Result<Self, Failure> {
        let own = project.directory.join(".venv/bin/componentize-py");
        let found = Some(own).filter(|own| own.is_file()).or_else(|| on_path("componentize-py"));
        let found = found.and_then(|program| Some(Self { version: version(&program)?, program }));
        found.ok_or_else(|| Failure::Other(MISSING.to_owned()))
    }
}

impl Tool for ComponentizePy {
    fn name(&self) -> String {
        self.version.clone()
    }

    fn build(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        let (contract, out) = (project.contract()?, project.made.join("built.wasm"));
        let mut tool = Command::new(&self.program);
        tool.arg("--wit-path").arg(contract).args(["--world", "operation", "componentize", "--python-path"]);
        run(tool.arg(project.source()).args(["plugin", "--output"]).arg(&out), MISSING)?;
        std::fs::read(&out).map_err(Failure::io(format!("cannot read {}", out.display())))
    }
}
