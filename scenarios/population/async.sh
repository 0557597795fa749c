#!/bin/sh
# Servers that hold rounds and servers that do not, with and without stragglers: virtual time to an
# accuracy. What has been done is not done again.
set -euf

usage() {
    cat <<'END'
usage: scenarios/population/async.sh

  SHOAL   the program                 [target/release/shoal]
  RUNS    where the results go        [runs/async]
  SEEDS   the seeds                   ["1 2 3 4 5"]
  JOBS    runs at the same time, with one worker each   [2]

Then scenarios/population/async_table.py prints the tables.
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
. scenarios/cells.sh
SHOAL=${SHOAL:-target/release/shoal}
RUNS=${RUNS:-runs/async}
SEEDS=${SEEDS:-1 2 3 4 5}
JOBS=${JOBS:-2}
export SHOAL RUNS

# One cell: how the server waits, share of stragglers, seed. All have 1,200 reports in mind.
if [ "${1-}" = --one ]; then
    every=1
    case $2 in
        rounds) schedule='rounds: 60, cohort: 20, deadline: "30 s"' ;;
        deadline) schedule='rounds: 60, cohort: 20, deadline: "4 s"' ;;
        over) schedule='rounds: 60, cohort: 20, over_selection: 1.5, deadline: "30 s"' ;;
        fedbuff) schedule='rounds: 240, waiting: FedBuff(concurrency: 20, buffer: 5)' every=2 ;;
        fedbuff-constant)
            schedule='rounds: 240, waiting: FedBuff(concurrency: 20, buffer: 5, staleness: Constant)'
            every=2
            ;;
        fedasync-*)
            case $2 in
                *-constant) s='Constant' ;;
                *-polynomial) s='Polynomial(a: 0.5)' ;;
                *-hinge) s='Hinge(a: 10.0, b: 4.0)' ;;
            esac
            schedule="rounds: 1200, waiting: FedAsync(concurrency: 20, alpha: 0.6, staleness: $s)"
            every=10
            ;;
    esac
    faults=
    [ "$3" = 0 ] || faults="(fault: Slow(10.0),who: Share($3))"
    cell "$RUNS/$2-slow$3-$4" scenarios/population/async_study.ron --seed "$4" \
        --set "schedule=($schedule)" --set "faults=[$faults]" \
        --set "evaluation=(every: $every)" --set "record=(trace: false)"
    exit 0
fi
case ${1-} in
    -h | --help) usage; exit 0 ;;
    ?*) usage >&2; exit 2 ;;
esac
for seed in $SEEDS; do for slow in 0 0.3; do
    for how in rounds deadline over fedbuff fedbuff-constant fedasync-constant \
        fedasync-polynomial fedasync-hinge; do
        echo "$how" $slow "$seed"
    done
done; done | each_cell "$here/async.sh"
