//! What others build on Shoal: the examples, and a crate outside the repository that adds things of
//! its own to what scenarios can name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where cargo puts what it builds with these tests.
fn built() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_shoal"));
    binary.parent().unwrap().to_path_buf()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The program's words, if it ends well.
fn ends_well(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}:\n{}", said(&output));
    said(&output)
}

fn stems(ending: &str) -> Vec<String> {
    let files = fs::read_dir(Path::new(ROOT).join("examples")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let of = paths.filter(|path| path.extension().is_some_and(|e| e == ending));
    let mut stems: Vec<String> = of
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    stems.sort();
    stems
}

#[test]
fn every_example_runs_and_is_short() {
    let (programs, scenarios) = (stems("rs"), stems("ron"));
    // `cargo test` builds them by itself, but not where one test is asked for.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--examples", "--offline", "--quiet"]);
    if cfg!(feature = "mpi") {
        cargo.args(["--features", "mpi"]);
    }
    ends_well(cargo.current_dir(ROOT));
    assert!(programs.len() >= 5 && scenarios.len() >= 3);
    for name in &programs {
        let source = Path::new(ROOT).join(format!("examples/{name}.rs"));
        let source = fs::read_to_string(source).unwrap();
        let lines = source.lines().map(str::trim);
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
        let count = code.count();
        assert!(count < 60, "{name} has {count} lines of code");
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(built().join("examples").join(name));
        if scenarios.contains(name) {
            let scenario = Path::new(ROOT).join(format!("examples/{name}.ron"));
            command.arg("run").arg(scenario).args(["--quiet", "--out"]);
            command.arg(folder.path().join("run"));
        }
        ends_well(&mut command);
    }
}

/// Without its program nobody knows what an example's scenario names.
#[test]
fn what_an_example_adds_is_unknown_to_the_program_itself() {
    for name in stems("ron") {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        let scenario = Path::new(ROOT).join(format!("examples/{name}.ron"));
        let output = command.arg("check").arg(scenario).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", said(&output));
        assert!(
            said(&output).contains("expected one of"),
            "{}",
            said(&output)
        );
    }
}

/// The section of a manifest that begins with `[name`, and those below it.
fn sections<'a>(manifest: &'a str, name: &str) -> String {
    let mut inside = false;
    let wanted = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            inside = line.starts_with(&format!("[{name}"));
        }
        inside
    });
    wanted.collect::<Vec<&'a str>>().join("\n")
}

/// A crate outside the repository, built; its program.
fn outside(folder: &Path) -> PathBuf {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    // With the profiles of this repository what it depends on need not be built again.
    let profiles = sections(&manifest, "profile");
    let features = match cfg!(feature = "mpi") {
        true => ", features = [\"mpi\"]",
        false => "",
    };
    let own = format!(
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n\
         rand = {{ version = \"0.10\", default-features = false }}\n\
         serde = {{ version = \"1.0\", features = [\"derive\"] }}\n\
         tch = \"=0.24.0\"\n\
         shoal = {{ path = {ROOT:?}{features} }}\n\n[workspace]\n\n{profiles}\n"
    );
    fs::write(folder.join("Cargo.toml"), own).unwrap();
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    fs::write(folder.join("Cargo.lock"), lock).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    // All examples that add something, as modules of one program.
    let (mut modules, mut adds) = (String::new(), String::new());
    for name in stems("rs").iter().filter(|name| name.starts_with("own_")) {
        let source = Path::new(ROOT).join(format!("examples/{name}.rs"));
        fs::copy(source, folder.join(format!("src/{name}.rs"))).unwrap();
        modules += &format!("#[allow(dead_code)]\nmod {name};\n");
        adds += &format!("    {name}::add(&mut registry)?;\n");
    }
    // A method whose server half is written out.
    let own = Path::new(ROOT).join("tests/house/own_server.rs");
    fs::copy(own, folder.join("src/own_server.rs")).unwrap();
    modules += "mod own_server;\n";
    adds += "    own_server::add(&mut registry)?;\n";
    let main = format!(
        "{modules}\nfn main() -> Result<std::process::ExitCode, shoal::registry::Taken> {{\n    let mut \
         registry = shoal::registry::Registry::standard();\n{adds}    registry.install();\n    \
         Ok(shoal::cli::main())\n}}\n"
    );
    fs::write(folder.join("src/main.rs"), main).unwrap();
    // A program finds libtorch where it was built with it: cargo passes no such thing on to dependents.
    let build = "fn main() {\n    if let Ok(torch) = std::env::var(\"LIBTORCH\") {\n        \
                 println!(\"cargo:rustc-link-arg=-Wl,-rpath,{torch}/lib\");\n    }\n}\n";
    fs::write(folder.join("build.rs"), build).unwrap();
    let target = built().parent().unwrap().to_path_buf();
    // Where libtorch lies is said by the repository's own configuration.
    let config = Path::new(ROOT).join(".cargo/config.toml");
    ends_well(
        Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "--config"])
            .arg(config)
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(folder),
    );
    target.join("debug/outside")
}

#[test]
fn what_a_crate_outside_adds_is_run_verified_resumed_and_swarmed() {
    let folder = tempfile::tempdir().unwrap();
    let program = outside(folder.path());
    let scenario = folder.path().join("s.ron");
    let text = OUTSIDE;
    fs::write(&scenario, text).unwrap();
    let outside = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(folder.path());
        command
    };
    let ran = ends_well(&mut outside(&["run", "s.ron", "--out", "run"]));
    assert!(ran.contains("trace hash"), "{ran}");
    ends_well(&mut outside(&["verify", "run"]));
    // By a rule of Shoal's, and by a server half written out: the models agree to rounding.
    let accuracy = |method: &str, out: &str| {
        let set = format!("method={method}");
        ends_well(&mut outside(&[
            "run", "s.ron", "--quiet", "--set", &set, "--out", out,
        ]));
        let record = fs::read(folder.path().join(out).join("run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        record["totals"]["final_accuracy"].as_f64().unwrap()
    };
    let by = [
        accuracy("Damped(rate: 0.5)", "by-rule"),
        accuracy("Halfway(rate: 0.5)", "by-server"),
    ];
    assert!((by[0] - by[1]).abs() < 0.02, "{by:?}");
    // Interrupted once it has a checkpoint, and gone on with.
    let long = [
        "run",
        "s.ron",
        "--quiet",
        "--set",
        "schedule.rounds=200",
        "--out",
    ];
    ends_well(outside(&long).arg("whole"));
    let mut child = outside(&long).arg("broken").spawn().unwrap();
    let checkpoints = folder.path().join("broken/checkpoints");
    while child.try_wait().unwrap().is_none() && !checkpoints.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    // Nearly all of its rounds lay ahead: were it done, nothing would have been resumed here.
    assert_eq!(child.wait().unwrap().code(), Some(130));
    ends_well(&mut outside(&["resume", "broken", "--quiet"]));
    let trace = |run: &str| {
        let record = fs::read(folder.path().join(run).join("run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["status"], "completed");
        record["trace_hash"].to_string()
    };
    assert_eq!(trace("broken"), trace("whole"));
    for (what, own, shipped) in [
        ("methods", "Damped", "FedAvg"),
        ("attacks", "Drown", "SignFlip"),
        ("selections", "Fastest", "Oort"),
        ("network-layers", "Swish", "Conv"),
        ("availability", "Passes", "Markov"),
        ("data", "Rings", "Digits"),
    ] {
        let listed = ends_well(&mut outside(&["list", what]));
        assert!(listed.contains(own) && listed.contains(shipped), "{listed}");
    }
    ends_well(&mut outside(&[
        "swarm", "s.ron", "--runs", "5", "--seed", "1",
    ]));
    // What is misspelt gets the nearest of both lists, at its place.
    for (right, wrong, words) in [
        ("Damped(", "Dampd(", "did you mean Damped?"),
        ("Damped(rate", "Damped(rat", "did you mean rate?"),
        ("Drown(", "Drwn(", "did you mean Drown?"),
        ("Capped(", "Caped(", "did you mean Capped?"),
        ("Fastest(", "Fastst(", "did you mean Fastest?"),
        ("Swish(", "Swsh(", "did you mean Swish?"),
        ("beta: 1.0", "bta: 1.0", "did you mean beta?"),
        ("Fading(", "Fadin(", "did you mean Fading?"),
        ("Patient(", "Patent(", "did you mean Patient?"),
        ("Passes(", "Passs(", "did you mean Passes?"),
    ] {
        let changed = text.replacen(right, wrong, 1);
        let place = changed.find(wrong).unwrap();
        let line = changed[..place].matches('\n').count() + 1;
        fs::write(&scenario, &changed).unwrap();
        let output = outside(&["check", "s.ron"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", said(&output));
        let said = said(&output);
        assert!(
            said.contains(words) && said.contains(&format!("s.ron:{line}:")),
            "{said}"
        );
    }
}

/// Names something of each kind that the crate outside adds.
const OUTSIDE: &str = r#"Scenario(
    name: "outside",
    data: Digits,
    partition: (by: Dirichlet(alpha: 0.3), min_per_client: 4, holdout: 0.2),
    model: [Flatten, Dense(16), Swish(beta: 1.0), Dense(10)],
    training: (epochs: 2, batch: 16, optimizer: Sgd(lr: 0.1)),
    population: [
        (
            name: "phones", count: 20, device: "phone-mid",
            link: (latency: "20 ms", up: "1 Mbit/s", loss: Fading(between: 200), transport: Patient()),
        ),
        (name: "passing", count: 4, device: "phone-mid", link: (latency: "20 ms", loss: Fading(between: 9), transport: Tcp()),
         availability: Passes()),
    ],
    method: Damped(rate: 0.5),
    selection: Fastest(),
    adversaries: [(who: Count(4), attack: Drown(by: 100))],
    defence: Capped(norm: 1.0),
    schedule: (rounds: 5, cohort: 5, deadline: "5 s"),
    checkpoint: (every: 2),
)
"#;

/// The rooms of the house, from the cellar up: each may use those before it. `docs/architecture.md` says
/// what each of them is.
const ROOMS: &[&str] = &[
    "say",
    "disk",
    "snapshot",
    "quantity",
    "text",
    "registry",
    "sim",
    "who",
    "fault",
    "data",
    "availability",
    "net",
    "graph",
    "select",
    "model",
    "learn",
    "method",
    "defend",
    "attack",
    "compress",
    "privacy",
    "observe",
    "federation",
    "scenario",
    "run",
    "scale",
    "sweep",
    "swarm",
    "cli",
];

/// The code of a file without its tests and its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let tests = ["#[cfg(test)]\nmod", "#[cfg(all(test"];
    let end = tests.iter().filter_map(|mark| text.find(mark)).min();
    let lines = text[..end.unwrap_or(text.len())].lines();
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The files of a room, without those that only its tests have.
fn files(room: &str) -> Vec<PathBuf> {
    let source = Path::new(ROOT).join("src");
    let mut found = vec![source.join(format!("{room}.rs"))];
    let mut folders = vec![source.join(room)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let of_tests =
                name.contains("test") || ["planted", "properties", "places"].contains(&&*name);
            match path.is_dir() {
                _ if of_tests => {}
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
                false => {}
            }
        }
    }
    found
}

#[test]
fn every_room_uses_only_those_below_it() {
    let lib = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let rooms = lib.lines().filter_map(|line| {
        let line = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        line.strip_suffix(';')
    });
    let mut rooms: Vec<&str> = rooms.collect();
    let mut drawn = ROOMS.to_vec();
    rooms.sort_unstable();
    drawn.sort_unstable();
    assert_eq!(
        rooms, drawn,
        "a room that the plan does not have, or one too many"
    );
    let architecture = fs::read_to_string(Path::new(ROOT).join("docs/architecture.md")).unwrap();
    let (mut up, mut arrows) = (String::new(), 0);
    for (floor, room) in ROOMS.iter().enumerate() {
        assert!(
            architecture.contains(&format!("`{room}`")),
            "{room} is not in the docs"
        );
        for file in files(room) {
            let code = code(&file);
            for used in code.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let Some(of) = ROOMS.iter().position(|other| *other == used) else {
                    continue;
                };
                arrows += 1;
                if of > floor {
                    up += &format!("{} uses {used}, which is above {room}\n", file.display());
                }
            }
        }
    }
    assert!(up.is_empty(), "{up}");
    assert!(arrows > 500, "{arrows}");
}
