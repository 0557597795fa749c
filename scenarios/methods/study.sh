#!/bin/sh
# The runs behind the tables of docs/methods.md. What has been done is not done again.
set -euf

usage() {
    cat <<'END'
usage: scenarios/methods/study.sh

  SHOAL   the program                 [target/release/shoal]
  RUNS    where the results go        [runs/methods]
  SEEDS   the seeds                   ["1 2 3 4 5 6 7 8 9 10"]
  JOBS    runs at the same time, with one worker each   [2]

Then scenarios/methods/table.py prints the tables.
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
. scenarios/cells.sh
SHOAL=${SHOAL:-target/release/shoal}
RUNS=${RUNS:-runs/methods}
SEEDS=${SEEDS:-1 2 3 4 5 6 7 8 9 10}
JOBS=${JOBS:-2}
export SHOAL RUNS

# One cell: a scenario, or a name for one with a change; a seed.
if [ "${1-}" = --one ]; then
    if [ "$2" = lotteryfl_unpruned ]; then
        cell "$RUNS/$2-$3" scenarios/methods/lotteryfl.ron --seed "$3" \
            --set 'method=LotteryFL(prune_rate: 0.2, target: 0.0)'
    elif [ "$2" = fedmd_alone ]; then
        cell "$RUNS/$2-$3" scenarios/methods/fedmd.ron --seed "$3" --set 'method=LocalOnly()'
    else
        for folder in methods baselines; do
            file=scenarios/$folder/$2.ron
            [ ! -e "$file" ] || cell "$RUNS/$2-$3" "$file" --seed "$3"
        done
    fi
    exit 0
fi
case ${1-} in
    -h | --help) usage; exit 0 ;;
    ?*) usage >&2; exit 2 ;;
esac
for seed in $SEEDS; do
    for scenario in fedavg fedsgd fedprox scaffold fednova fedavgm fedadagrad fedadam fedyogi \
        lotteryfl lotteryfl_unpruned hermes tailorfl local_only centralised fedmd fedmd_alone; do
        echo $scenario "$seed"
    done
done | each_cell "$here/study.sh"
