#!/bin/sh
# The study of docs/studies/faults.md: FedAvg under loss and stragglers. What has been done is not
# done again.
set -euf

usage() {
    cat <<'END'
usage: scenarios/faults/study.sh

  SHOAL   the program                 [target/release/shoal]
  RUNS    where the results go        [runs/faults]
  SEEDS   the seeds                   ["1 2 3 4 5"]
  JOBS    runs at the same time, with one worker each   [2]

Then scenarios/faults/table.py prints the tables.
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
. scenarios/cells.sh
SHOAL=${SHOAL:-target/release/shoal}
RUNS=${RUNS:-runs/faults}
SEEDS=${SEEDS:-1 2 3 4 5}
JOBS=${JOBS:-2}
export SHOAL RUNS

# One cell: transport, loss, share of stragglers, seed.
if [ "${1-}" = --one ]; then
    faults=
    [ "$3" = 0 ] || faults="(fault: Loss($3)),"
    [ "$4" = 0 ] || faults="$faults(fault: Slow(10.0),who: Share($4))"
    cell "$RUNS/$2-loss$3-slow$4-$5" scenarios/faults/study.ron --seed "$5" \
        --set "faults=[$faults]" --set "population[0].link.transport=$2"
    exit 0
fi
case ${1-} in
    -h | --help) usage; exit 0 ;;
    ?*) usage >&2; exit 2 ;;
esac
for seed in $SEEDS; do for transport in "Reliable()" Datagram; do
    for loss in 0 0.05 0.2 0.4; do for slow in 0 0.1 0.3; do
        echo "$transport" $loss $slow "$seed"
    done; done
done; done | each_cell "$here/study.sh"
