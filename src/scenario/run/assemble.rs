//! From a scenario to a federation: data loaded and dealt, links drawn, the method set up.

use super::RunError;
use crate::attack::Adversaries;
use crate::data::{load, Dataset, PublicSplit, Values};
use crate::fault;
use crate::federation::{Federation, Plan};
use crate::learn::{DeviceData, Features, HostDevice, LearnError, Normalisation, Precision};
use crate::net::{LinkNetwork, LinkTable, Rates, Topology};
use crate::quantity::{Bandwidth, Distribution};
use crate::scenario::{Link, Public, Scenario};
use crate::sim::rng::{stream, Purpose};
use std::sync::Arc;
use tch::Device;

/// Builds the federation of a scenario on a host device.
///
/// # Errors
/// When data cannot be had or dealt, links make no network, or the device has no room.
pub fn assemble(scenario: &Scenario, device: HostDevice) -> Result<Federation, RunError> {
    let mut precisions = scenario
        .population
        .iter()
        .map(|member| member.group.training.precision);
    let tf32 = precisions.any(|precision| precision == Precision::Tf32);
    let device = device.open_for(if tf32 {
        Precision::Tf32
    } else {
        Precision::Single
    })?;
    let seed = scenario.seed;
    let mut split = load(&scenario.data, seed, &scenario.base)?;
    let groups = scenario
        .population
        .iter()
        .map(|member| (member.group.name.as_ref(), member.group.count));
    let faults = fault::Plan::new(&scenario.faults, groups, seed);
    let clients = scenario.clients();
    let public = match scenario.public {
        Some(Public { share, select }) => {
            PublicSplit::draw(&split.train, share.get(), select.get(), seed)
        }
        None => PublicSplit::default(),
    };
    let partition = scenario.partition.by.partition_without(
        &split.train,
        &public.all(),
        clients as usize,
        scenario.partition.min_per_client,
        seed,
    )?;
    let (partition, holdout) = partition.holdout(scenario.partition.holdout, seed);
    for (entry, fault, members) in &faults.data {
        let samples = members
            .iter()
            .flat_map(|client| partition.client(client as usize).iter().copied());
        split.train.spoil(*fault, samples, *entry, seed);
    }
    let model = scenario.build_model()?;
    let levels = scenario.build_levels(&model)?;
    let groups: Vec<_> = scenario
        .population
        .iter()
        .map(|member| member.group.clone())
        .collect();
    let mut adversaries = Adversaries::draw(&scenario.adversaries, &groups, seed);
    let aimed_at = split.test.as_evaluation();
    let triggered = adversaries.poison(&mut split.train, aimed_at, &partition, seed);
    let triggered = triggered.map(|data| on_device(data, device)).transpose()?;
    let test = split.test.into_evaluation();
    let plan = Plan {
        seed,
        model,
        init: scenario.model.init,
        levels,
        public,
        train: on_device(split.train, device)?,
        test: on_device(test, device)?,
        partition,
        holdout,
        groups,
        server: scenario.server.device,
        server_checkpoint: scenario.server.checkpoint_every,
        method: scenario.method.clone(),
        selection: scenario.selection.clone(),
        defence: scenario.defence.clone(),
        adversaries: Arc::new(adversaries),
        triggered,
        layers: scenario.layers.clone(),
        schedule: scenario.schedule.clone(),
        gossip: scenario.gossip().cloned(),
        evaluation: scenario.evaluation.clone(),
        compute: scenario.compute,
        checkpoint_every: scenario.checkpoint.map(|checkpoint| checkpoint.every),
    };
    Ok(Federation::new(plan, network(scenario)?)?.amid(faults))
}

/// Moves a data set to the host device; on the CPU nothing is copied.
fn on_device(data: Dataset, device: Device) -> Result<Arc<DeviceData>, LearnError> {
    let features = match data.values {
        Values::U8(values) => Features::U8(values),
        Values::F32(values) => Features::F32(values),
    };
    let normal = Normalisation {
        scale: data.scaling.scale,
        mean: data.scaling.mean,
        std: data.scaling.std,
    };
    let data = DeviceData::new(
        &data.shape,
        features,
        normal,
        data.labels,
        data.classes,
        device,
    )?;
    Ok(Arc::new(data))
}

/// The links: the server's, then each group's.
fn network(scenario: &Scenario) -> Result<LinkNetwork, RunError> {
    let mut table = LinkTable::new();
    let seed = scenario.seed;
    let mut push = |first: u32, count: u32, link: &Link| {
        let drawn = |distribution: &Option<Distribution>, which| {
            let distribution = distribution.as_ref()?;
            let nodes = first..first + count;
            let rates = nodes.map(|node| {
                let mut rng = stream(seed, u64::from(node), Purpose::Population, which);
                let rate = Bandwidth::bits_per_second(distribution.sample(&mut rng));
                // A draw that is no rate (a normal's far tail) is the slowest there can be.
                rate.unwrap_or(Bandwidth::SLOWEST)
            });
            Some(rates.collect())
        };
        let rates = Rates {
            up: drawn(&link.up, 2).unwrap_or_default(),
            down: drawn(&link.down, 3).unwrap_or_default(),
        };
        table.push_with(count, link.model.clone(), rates)
    };
    // The observer of a federation without a server uses no link: one that has the least to say of
    // how soon anybody can hear of anything.
    let peers = scenario.gossip().is_some();
    let members = scenario.population.iter().map(|member| &member.link);
    let slowest = members.max_by_key(|link| link.model.latency.bound());
    let of_server = slowest.filter(|_| peers).unwrap_or(&scenario.server.link);
    push(0, 1, of_server)?;
    let mut first = 1;
    for member in &scenario.population {
        push(first, member.group.count, &member.link)?;
        first += member.group.count;
    }
    let topology = match peers {
        true => Topology::Mesh,
        false => Topology::Star {
            centre: Federation::SERVER,
        },
    };
    Ok(LinkNetwork::new(table, topology)?)
}
