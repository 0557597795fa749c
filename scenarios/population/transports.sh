#!/bin/sh
# What TCP does to results (docs/studies/network.md): stragglers, deadlines and servers that do not wait,
# with Reliable and with Tcp. What has been done is not done again.
set -euf

usage() {
    cat <<'END'
usage: scenarios/population/transports.sh

  SHOAL   the program                 [target/release/shoal]
  RUNS    where the results go        [runs/transports]
  SEEDS   the seeds                   ["1 2 3 4 5 6 7 8 9 10"]
  JOBS    runs at the same time, with one worker each   [2]

Then scenarios/population/transports_table.py prints the tables.
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
. scenarios/cells.sh
SHOAL=${SHOAL:-target/release/shoal}
RUNS=${RUNS:-runs/transports}
SEEDS=${SEEDS:-1 2 3 4 5 6 7 8 9 10}
JOBS=${JOBS:-2}
export SHOAL RUNS

# One cell: path, how the server waits, transport, seed. Three in ten phones are ten times as slow.
if [ "${1-}" = --one ]; then
    every=1
    case $3 in
        rounds) schedule='rounds: 60, cohort: 20, deadline: "60 s"' ;;
        deadline) schedule='rounds: 60, cohort: 20, deadline: "4 s", least_reports: 1' ;;
        over) schedule='rounds: 60, cohort: 20, over_selection: 1.5, deadline: "60 s"' ;;
        fedbuff) schedule='rounds: 240, waiting: FedBuff(concurrency: 20, buffer: 5)' every=2 ;;
    esac
    case $2 in
        4g-small) link=4g width=32 ;;
        4g) link=4g width=512 ;;
        geo) link=satellite-geo width=512 ;;
    esac
    # Reliable as the presets had it: two round trips to the first retransmission.
    case $4-$2 in
        Tcp-*) transport='Tcp()' ;;
        *-geo) transport='Reliable(timeout: "1260 ms")' ;;
        *) transport='Reliable(timeout: "42 ms")' ;;
    esac
    cell "$RUNS/$2-$3-$4-$5" scenarios/population/async_study.ron --seed "$5" \
        --set "schedule=($schedule)" --set 'faults=[(fault: Slow(10.0), who: Share(0.3))]' \
        --set "model=[Flatten, Dense($width), Relu, Dense(10)]" \
        --set "population[0].link=(preset: \"$link\", transport: $transport)" \
        --set "server=(link: (preset: \"datacentre\", transport: $transport))" \
        --set "evaluation=(every: $every)" --set "record=(trace: false)"
    exit 0
fi
case ${1-} in
    -h | --help) usage; exit 0 ;;
    ?*) usage >&2; exit 2 ;;
esac
for seed in $SEEDS; do for path in 4g-small 4g geo; do for how in rounds deadline over fedbuff; do
    for transport in Reliable Tcp; do
        echo "$path" $how $transport "$seed"
    done
done; done; done | each_cell "$here/transports.sh"
