use super::super::resume_tests::{settings, wearing};
use super::super::testing::Heard;
use super::super::DeviceWorker;
use super::*;
use crate::method::MethodSpec;
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::{given_up, Ending, Executor, Simulation, Summary, Workers};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

/// What went over the wire, and what did not.
#[derive(Debug, Default)]
struct Seen {
    clients: u32,
    statistics: u32,
    evaluations: u32,
    stayed: u32,
    bytes: usize,
    wrong: Vec<String>,
}

/// Does every unit here, and once more with what is left of it on the other side of a wire; that is
/// what counts.
struct Beyond {
    worker: DeviceWorker,
    wire: Wire,
    sent: Sent,
    held: Held,
    seen: Arc<Mutex<Seen>>,
}

impl Beyond {
    fn there(&mut self, jobs: &[Job]) -> Result<(Vec<Output>, usize), String> {
        let packed = self.wire.pack(jobs, &mut self.sent);
        let packed = packed.map_err(|error| error.to_string())?;
        let bytes = packed.len();
        let jobs = self.wire.unpack(packed, &mut self.held);
        let outputs = self
            .worker
            .run_stack(&jobs.map_err(|error| error.to_string())?);
        let packed = self.wire.pack_outputs(&outputs);
        let packed = packed.map_err(|error| error.to_string())?;
        let outputs = self.wire.unpack_outputs(packed);
        Ok((outputs.map_err(|error| error.to_string())?, bytes))
    }
}

impl Executor<Job, Output> for Beyond {
    fn run(&mut self, job: &Job) -> Output {
        let mut outputs = self.run_stack(std::slice::from_ref(job));
        outputs.pop().unwrap()
    }

    fn run_stack(&mut self, jobs: &[Job]) -> Vec<Output> {
        let here = self.worker.run_stack(jobs);
        let seen = Arc::clone(&self.seen);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !jobs.iter().all(|job| self.wire.travels(job)) {
            seen.stayed += jobs.len() as u32;
            return here;
        }
        for job in jobs {
            match job {
                Job::Evaluation(_) => seen.evaluations += 1,
                Job::Statistics(_) => seen.statistics += 1,
                _ => seen.clients += 1,
            }
        }
        match self.there(jobs) {
            Ok((there, bytes)) => {
                seen.bytes += bytes;
                let digests = |outputs: &[Output]| -> Vec<u64> {
                    outputs.iter().map(Digest::digest).collect()
                };
                // At the end of a run nobody waits for jobs, and either side may be told to stop midway.
                if digests(&here) != digests(&there) && !given_up() {
                    seen.wrong.push(format!("{here:?}\n{there:?}"));
                }
                there
            }
            Err(problem) => {
                seen.wrong.push(problem);
                here
            }
        }
    }
}

fn run(scenario: &Scenario, beyond: bool) -> (Summary, Seen) {
    let federation = assemble(scenario, Default::default()).unwrap();
    let (wire, seen) = (federation.wire().unwrap(), Arc::<Mutex<Seen>>::default());
    let workers = match beyond {
        false => Workers::start(1, DeviceWorker::new),
        true => {
            let seen = Arc::clone(&seen);
            Workers::start(1, move || Beyond {
                worker: DeviceWorker::new(),
                wire: wire.clone(),
                sent: Sent::default(),
                held: Held::default(),
                seen: Arc::clone(&seen),
            })
        }
    };
    let workers = workers.unwrap();
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: scenario.seed,
        shards: 1,
    };
    let mut heard = Heard::default();
    let summary = simulation.run(&workers, &mut heard, &AtomicBool::new(false));
    let summary = summary.unwrap();
    assert_eq!((summary.ending, heard.fatal), (Ending::Finished, None));
    drop(workers);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (summary, seen)
}

/// The same run, whether jobs go over a wire or not.
fn same(scenario: &Scenario) -> Seen {
    let (here, _) = run(scenario, false);
    let (there, seen) = run(scenario, true);
    let name = scenario.method.name();
    assert_eq!(seen.wrong, Vec::<String>::new(), "{name}");
    assert_eq!(here.hash, there.hash, "{name}");
    seen
}

#[test]
fn jobs_of_every_method_are_the_same_on_the_other_side() {
    for (name, _) in MethodSpec::ALL {
        let seen = same(&wearing(&format!("{name}({})", settings(name)), ""));
        let asks_nobody = matches!(*name, "Centralised" | "PublicOnly");
        assert_eq!(seen.clients == 0, asks_nobody, "{name}: {seen:?}");
        // What a server does itself, and nothing else, stays at home.
        let at_home = matches!(*name, "Centralised" | "PublicOnly" | "FedMD" | "FedConv");
        assert!(seen.stayed == 0 || at_home, "{name}: {seen:?}");
        assert!(seen.clients + seen.evaluations > 0, "{name}: {seen:?}");
    }
}

#[test]
fn what_is_around_a_method_and_what_goes_wrong_is_the_same_there() {
    for (method, further) in [
        (
            "Scaffold()",
            "compression: TopK(share: 0.1, error_feedback: true)",
        ),
        (
            "FedAvg()",
            "compression: Qsgd(levels: 4), privacy: LocalDp(clip: 1.0, noise: 0.1, delta: 1e-5)",
        ),
        ("FedAvg()", "secure_aggregation: SecAgg(threshold: 0.3)"),
        (
            "FedAvg()",
            "adversaries: [(who: Count(2), attack: LabelFlip()), (who: Count(2), attack: Sybils())]",
        ),
        (
            "HeteroFL()",
            "faults: [(fault: PartialWork(0.5), p: 0.5), (fault: StaleModel, p: 0.5),
                (fault: Corrupt(how: Truncate, checksum: false), p: 0.3, kinds: [\"task\"])]",
        ),
    ] {
        let seen = same(&wearing(method, further));
        assert!(seen.clients > 10 && seen.stayed == 0, "{further}: {seen:?}");
    }
}

#[test]
fn statistics_are_measured_the_same_there() {
    let model = "[Conv(out: 4, kernel: 3), BatchNorm, Relu, Flatten, Dense(10)]";
    let text = format!(
        "(seed: 4, data: Digits, model: {model}, method: HeteroFL(),
        population: [(count: 6, size: Drawn([1, 0.5]))], schedule: (rounds: 2, cohort: 4))"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
    let seen = same(&scenario);
    assert!(seen.statistics > 4 && seen.stayed == 0, "{seen:?}");
}

fn federation(model: &str) -> Federation {
    let text = format!("(data: Digits, model: {model}, population: [(count: 4)])");
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
    assemble(&scenario, Default::default()).unwrap()
}

/// The pieces of an evaluation of a model.
fn evaluation(federation: &Federation, params: &ParamSet) -> Vec<Job> {
    let (plan, evaluator) = (federation.plan(), &federation.shared().evaluator);
    let jobs = evaluator.pieces(plan, params, |_| Ok(params.clone()));
    let jobs = jobs.unwrap().into_iter();
    jobs.map(|job| Job::Evaluation(Box::new(job))).collect()
}

#[test]
fn a_model_is_sent_once_however_many_jobs_have_it_and_again_when_it_was_forgotten() {
    let federation = federation("[Flatten, Dense(10)]");
    let plan = federation.plan();
    let wire = federation.wire().unwrap();
    let (mut sent, mut held) = (Sent::default(), Held::default());
    let mut send = |params: &ParamSet| {
        let jobs = evaluation(&federation, params);
        let packed = wire.pack(&jobs, &mut sent).unwrap();
        let length = packed.len();
        for job in wire.unpack(packed, &mut held).unwrap() {
            let Job::Evaluation(job) = job else {
                panic!("an evaluation")
            };
            assert_eq!(job.params().digest().unwrap(), params.digest().unwrap());
        }
        assert_eq!(held.0.len(), sent.entries.len());
        length
    };
    let models = 0..MOST_SETS as u64 + 2;
    let models = models.map(|seed| plan.model.init(seed, plan.init).unwrap());
    let models: Vec<ParamSet> = models.collect();
    let values = 4 * models[0].len();
    assert!(send(&models[0]) > values);
    assert!(send(&models[0]) < values / 2);
    // The same values in other memory are the same model.
    let copy = ParamSet::from_slice(models[0].layout(), models[0].as_slice().unwrap()).unwrap();
    assert!(send(&copy) < values / 2);
    for model in &models[1..] {
        assert!(send(model) > values);
    }
    assert!(send(&models[MOST_SETS + 1]) < values / 2);
    assert!(send(&models[0]) > values, "it was forgotten");
}

#[test]
fn bytes_that_are_no_jobs_are_refused() {
    let federation = federation("[Flatten, Dense(10)]");
    let wire = federation.wire().unwrap();
    let plan = federation.plan();
    let jobs = evaluation(&federation, &plan.model.init(1, plan.init).unwrap());
    let packed = wire.pack(&jobs, &mut Sent::default()).unwrap();
    for length in [0, 7, packed.len() / 2, packed.len() - 1] {
        let cut = packed[..length].to_vec();
        assert!(wire.unpack(cut, &mut Held::default()).is_err(), "{length}");
    }
    let mut bent = packed.clone();
    bent[packed.len() / 2] ^= 1;
    assert!(wire.unpack(bent, &mut Held::default()).is_err());
    // A unit that names a model which the other side never got.
    let mut sent = Sent::default();
    wire.pack(&jobs, &mut sent).unwrap();
    let later = wire.pack(&jobs, &mut sent).unwrap();
    let error = wire.unpack(later, &mut Held::default()).err().unwrap();
    assert_eq!(error.to_string(), "there is no parameter set 0");
    // Another federation has no such network.
    let other = self::federation("[Flatten, Dense(4), Relu, Dense(10)]");
    let error = other.wire().unwrap().unpack(packed, &mut Held::default());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("a network that this run has not"), "{error}");
}
