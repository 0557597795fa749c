//! The list of methods that a scenario can name.

use super::Method;
use crate::registry::{kind, Spec};

/// A method by its name in a scenario, with its settings.
pub type MethodSpec = Spec<dyn Method>;

impl MethodSpec {
    /// The method behind the name, with its settings.
    pub fn method(&self) -> &dyn Method {
        self.get()
    }
}

kind! {
    dyn Method, "a method";
    /// Average of locally trained models (McMahan et al. 2017)
    FedAvg: super::fedavg::FedAvg,
    /// Each client sends one gradient over all its data (McMahan et al. 2017)
    FedSgd: super::fedsgd::FedSgd,
    /// FedAvg with a proximal term in the clients' loss (Li et al. 2020)
    FedProx: super::fedprox::FedProx,
    /// Control variates that correct the clients' drift (Karimireddy et al. 2020)
    Scaffold: super::scaffold::Scaffold,
    /// Updates divided by the weight of their local steps (Wang et al. 2020)
    FedNova: super::fednova::FedNova,
    /// FedAvg with momentum on the server (Hsu et al. 2019)
    FedAvgM: super::fedavgm::FedAvgM,
    /// FedAvg with Adagrad on the server (Reddi et al. 2021)
    FedAdagrad: super::fedadagrad::FedAdagrad,
    /// FedAvg with Adam on the server (Reddi et al. 2021)
    FedAdam: super::fedadam::FedAdam,
    /// FedAvg with Yogi on the server (Reddi et al. 2021)
    FedYogi: super::fedyogi::FedYogi,
    /// Nested sub-models by width (Diao et al. 2021)
    HeteroFL: super::heterofl::HeteroFl,
    /// Sub-models by width from a window that rolls over the units (Alam et al. 2022)
    FedRolex: super::fedrolex::FedRolex,
    /// Sub-models of units that are drawn at random (Caldas et al. 2018)
    FedDropout: super::feddropout::FedDropout,
    /// Ordered dropout: clients train every width up to their own (Horváth et al. 2021)
    FjORD: super::fjord::Fjord,
    /// Sub-models by depth, whose classifiers teach each other (Kim et al. 2023)
    DepthFL: super::depthfl::DepthFl,
    /// Sub-models made by learned convolutions over the parameters (Shen et al. 2024)
    FedConv: super::fedconv::FedConv,
    /// Clients exchange class scores on a public set instead of models (Li and Wang 2019)
    FedMD: super::fedmd::FedMd,
    /// Personal masks found by iterative magnitude pruning (Li et al. 2021)
    LotteryFL: super::lotteryfl::LotteryFl,
    /// Personal networks found by structured pruning (Li et al. 2021)
    Hermes: super::hermes::Hermes,
    /// Sub-models tailored to the device and the data of each client (Deng et al. 2022)
    TailorFL: super::tailorfl::TailorFl,
    /// Baseline: every client trains alone
    LocalOnly: super::local_only::LocalOnly,
    /// Baseline: the server trains on all clients' data
    Centralised: super::centralised::Centralised,
    /// Baseline: the server trains on the public set alone
    PublicOnly: super::public_only::PublicOnly,
}

impl Default for MethodSpec {
    fn default() -> Self {
        super::fedavg::FedAvg::default().into()
    }
}
