//! The list of methods: what a scenario can name.

use super::Method;
use crate::registry::{kind, Spec};

/// A method by its name in a scenario, with its settings.
pub type MethodSpec = Spec<dyn Method>;

impl MethodSpec {
    /// What is behind the name.
    pub fn method(&self) -> &dyn Method {
        self.get()
    }
}

kind! {
    dyn Method, "a method";
    /// Average of locally trained models (McMahan et al. 2017)
    FedAvg: super::fedavg::FedAvg,
    /// One gradient a client over all its data (McMahan et al. 2017)
    FedSgd: super::fedsgd::FedSgd,
    /// FedAvg with a proximal term (Li et al. 2020)
    FedProx: super::fedprox::FedProx,
    /// Control variates against client drift (Karimireddy et al. 2020)
    Scaffold: super::scaffold::Scaffold,
    /// Updates normalised by local steps (Wang et al. 2020)
    FedNova: super::fednova::FedNova,
    /// FedAvg with server momentum (Hsu et al. 2019)
    FedAvgM: super::fedavgm::FedAvgM,
    /// Adagrad on the server (Reddi et al. 2021)
    FedAdagrad: super::fedadagrad::FedAdagrad,
    /// Adam on the server (Reddi et al. 2021)
    FedAdam: super::fedadam::FedAdam,
    /// Yogi on the server (Reddi et al. 2021)
    FedYogi: super::fedyogi::FedYogi,
    /// Nested sub-models by width (Diao et al. 2021)
    HeteroFL: super::heterofl::HeteroFl,
    /// Sub-models by width from a rolling window (Alam et al. 2022)
    FedRolex: super::fedrolex::FedRolex,
    /// Sub-models of units drawn at random (Caldas et al. 2018)
    FedDropout: super::feddropout::FedDropout,
    /// Ordered dropout: every width up to the client's own (Horváth et al. 2021)
    FjORD: super::fjord::Fjord,
    /// Sub-models by depth, whose classifiers teach each other (Kim et al. 2023)
    DepthFL: super::depthfl::DepthFl,
    /// Sub-models by learned convolutions over the parameters (Shen et al. 2024)
    FedConv: super::fedconv::FedConv,
    /// Class scores on a public set instead of models (Li and Wang 2019)
    FedMD: super::fedmd::FedMd,
    /// Personal masks by iterative magnitude pruning (Li et al. 2021)
    LotteryFL: super::lotteryfl::LotteryFl,
    /// Personal networks by structured pruning (Li et al. 2021)
    Hermes: super::hermes::Hermes,
    /// Sub-models tailored to device and data (Deng et al. 2022)
    TailorFL: super::tailorfl::TailorFl,
    /// Baseline: every client alone
    LocalOnly: super::local_only::LocalOnly,
    /// Baseline: all data at the server
    Centralised: super::centralised::Centralised,
    /// Baseline: the public set alone, at the server
    PublicOnly: super::public_only::PublicOnly,
}

impl Default for MethodSpec {
    fn default() -> Self {
        super::fedavg::FedAvg::default().into()
    }
}
