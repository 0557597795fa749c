#!/bin/sh
# The study of docs/studies/fedconv.md: every run of it, in pieces. What has been done is not done
# again, so it can be stopped at any time and called again.
set -euf

usage() {
    cat <<'END'
usage: scenarios/fedconv/run.sh [PIECE...]

  ten      10 methods, ten clients: MNIST and Fashion-MNIST, Dirichlet(0.1) and IID
  many     the same with 200 clients, 20 of them a round
  shares   1 % and 19 % of MNIST public: FedConv and the controls

Without a PIECE all of them, first seed first. Data: scenarios/data/fetch.sh all (43 MB).

  SHOAL   the program                 [target/release/shoal]
  RUNS    where the results go        [runs/fedconv]
  SEEDS   the seeds                   ["1 2 3"]
  JOBS    runs at the same time, with one worker each   [2]
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
. scenarios/cells.sh
SHOAL=${SHOAL:-target/release/shoal}
RUNS=${RUNS:-runs/fedconv}
SEEDS=${SEEDS:-1 2 3}
JOBS=${JOBS:-2}
export SHOAL RUNS

METHODS="fedconv heterofl fedrolex fedavg fedavg_small stand_alone public_only fedavg_tuned heterofl_tuned heterofl_server_steps"
SHARED="fedconv public_only fedavg_tuned heterofl_tuned heterofl_server_steps"

# One run: setting, method, seed, overrides. Its folder appears when it is complete.
if [ "${1-}" = --one ]; then
    setting=$2 method=$3 seed=$4
    shift 4
    cell "$RUNS/$setting/$method-$seed" "scenarios/fedconv/$method.ron" --seed "$seed" "$@"
    exit 0
fi

data() {
    [ "$1" = mnist ] || echo '--set data=FashionMnist(dir:"../data/fashion-mnist")'
}

split() {
    [ "$1" = dirichlet ] || echo '--set partition=(by:Iid,holdout:0.15)'
}

# What 200 clients change. With more clients a round FedConv's server takes more passes, and so do
# the controls that are given as many.
many() {
    echo "--set population[0].count=40 --set population[1].count=80 --set population[2].count=80"
    echo "--set schedule.cohort=20 --set schedule.rounds=10 --set training.epochs=2"
    case $1 in
        public_only) echo '--set method=PublicOnly((epochs:40,lr:0.001))' ;;
        heterofl_server_steps) echo '--set method=HeteroFL(scaler:false,fine_tune:Some((epochs:40,lr:0.001)))' ;;
    esac
}

# Lines "setting method seed overrides" of a piece for a seed.
piece() {
    case $1 in
        ten)
            for set in mnist fashion; do for by in dirichlet iid; do for method in $METHODS; do
                echo "$set-$by-10" "$method" "$2" $(data $set) $(split $by)
            done; done; done ;;
        many)
            for set in mnist fashion; do for by in dirichlet iid; do for method in $METHODS; do
                echo "$set-$by-200" "$method" "$2" $(data $set) $(split $by) $(many "$method")
            done; done; done ;;
        shares)
            for share in 0.01 0.19; do for method in $SHARED; do
                echo "mnist-dirichlet-10-public-$share" "$method" "$2" --set public.share=$share
            done; done ;;
        *)
            usage >&2
            exit 2 ;;
    esac
}

case ${1-} in -h | --help)
    usage
    exit 0 ;;
esac
[ $# -gt 0 ] || set -- ten many shares
for seed in $SEEDS; do for name in "$@"; do piece "$name" "$seed"; done; done |
    each_cell "$here/run.sh"
