//! JavaScript: `componentize-js`, the Bytecode Alliance's, which puts SpiderMonkey and the sources into one component.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::{Project, Template, Tool, run};
use crate::cli::failure::Failure;

pub(super) const TEMPLATE: Template = Template {
    files: &[
        ("src/plugin.js", include_str!("../../../../../plugins/invert-js/src/plugin.js")),
        ("src/invert.js", include_str!("../../../../../plugins/invert-js/src/invert.js")),
        ("test/invert.test.js", include_str!("../../../../../plugins/invert-js/test/invert.test.js")),
        ("package.json", include_str!("../../../../../plugins/invert-js/package.json")),
    ],
    install: "npm install                         # componentize-js, which package.json names",
    test: "npm test                            # its unit tests, without a server",
    name: "invert-js",
    what: "inverts an image's colours",
    result: "default.png",
};

const PACKAGE: &str = "@bytecodealliance/componentize-js";

const MISSING: &str = "to build a plugin in JavaScript, Node.js 20 and componentize-js are needed; type, in the plugin's folder,\n  \
    npm install --save-dev @bytecodealliance/componentize-js@0.23\n\
    (as root on Debian, `apt-get install npm` brings both Node.js and npm), and try again";

/// What calls the library: given the source, the contract and where the component goes.
const BUILD: &str = include_str!("../template/javascript/build.mjs");
/// What is built in place of the source: an exception that is no error of the contract is told with its place.
const ENTRY: &str = include_str!("../template/javascript/entry.js");

#[derive(Debug)]
pub(super) struct ComponentizeJs {
    /// The folder beneath whose `node_modules` it is.
    at: PathBuf,
    version: String,
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

impl ComponentizeJs {
    /// That of the folder or of one above it, or of one that NODE_PATH names.
    pub(super) fn find(project: &Project) -> Result<Self, Failure> {
        let named = std::env::var_os("NODE_PATH").unwrap_or_default();
        let named = std::env::split_paths(&named).filter_map(|folder| Some(folder.parent()?.to_owned()));
        let all = project.directory.ancestors().map(PathBuf::from).chain(named.collect::<Vec<_>>());
        for at in all {
            let package = at.join("node_modules").join(PACKAGE).join("package.json");
            let Ok(text) = std::fs::read_to_string(&package) else { continue };
            let Package { version } = serde_json::from_str(&text)
                .map_err(|error| Failure::Other(format!("{}: {error}", package.display())))?;
            return Ok(Self { at, version });
        }
        Err(Failure::Other(MISSING.to_owned()))
    }
}

impl Tool for ComponentizeJs {
    fn name(&self) -> String {
        format!("componentize-js {}", self.version)
    }

    fn build(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        // Its modules are looked for beneath the folder of the first one.
        project.copy_source("javascript")?;
        let (entry, contract) = (project.lay("javascript/entry.js", ENTRY)?, project.contract()?);
        let out = project.made.join("built.wasm");
        let mut node = Command::new("node");
        // What it imports is looked for from where it is called.
        node.current_dir(&self.at).args(["--input-type=module", "--eval", BUILD, "--"]);
        run(node.arg(entry).arg(contract).arg(&out), MISSING)?;
        std::fs::read(&out).map_err(Failure::io(format!("cannot read {}", out.display())))
    }
}
