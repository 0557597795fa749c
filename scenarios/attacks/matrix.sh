#!/bin/sh
# Every attack against every defence on unequal digits, 20 % adversaries. What has been done is not done
# again, so it can be stopped at any time and called again. table.py makes tables of the results.
set -euf

usage() {
    cat <<'END'
usage: scenarios/attacks/matrix.sh [ATTACK/DEFENCE...]

Without a cell all of them, first seed first. Each takes a few seconds.

  attacks    none label_flip backdoor sign_flip gaussian free_rider sybils alie ipm min_max
  defences   none clipping median trimmed geomed krum multikrum bulyan fltrust centred dnc
             foolsgold bucketing

  SHOAL   the program                 [target/release/shoal]
  RUNS    where the results go        [runs/attacks]
  SEEDS   the seeds                   ["1 2 3"]
  JOBS    runs at the same time, with one worker each   [2]
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
. scenarios/cells.sh
SHOAL=${SHOAL:-target/release/shoal}
RUNS=${RUNS:-runs/attacks}
SEEDS=${SEEDS:-1 2 3}
JOBS=${JOBS:-2}
export SHOAL RUNS

ATTACKS="none label_flip backdoor sign_flip gaussian free_rider sybils alie ipm min_max"
DEFENCES="none clipping median trimmed geomed krum multikrum bulyan fltrust centred dnc foolsgold bucketing"

# Four of twenty clients.
attack() {
    case $1 in
        none) return ;;
        label_flip) what='LabelFlip()' ;;
        backdoor) what='Backdoor(target:0,share:0.5,boost:4.0)' ;;
        sign_flip) what='SignFlip(scale:5.0)' ;;
        gaussian) what='Gaussian(std:0.5)' ;;
        free_rider) what='FreeRider()' ;;
        sybils) what='Sybils(source:1,target:7)' ;;
        alie) what='Alie(knowledge:Cohort)' ;;
        ipm) what='Ipm(epsilon:5.0,knowledge:Cohort)' ;;
        min_max) what='MinMax(knowledge:Cohort)' ;;
        *) echo "matrix.sh: no attack $1" >&2; exit 2 ;;
    esac
    echo "--set adversaries=[(who:Share(0.2),attack:$what)]"
}

defence() {
    case $1 in
        none) return ;;
        clipping) what='NormClipping(bound:0.6)' ;;
        median) what='Median()' ;;
        trimmed) what='TrimmedMean(trim:0.2)' ;;
        geomed) what='GeometricMedian()' ;;
        krum) what='Krum(byzantine:4)' ;;
        multikrum) what='MultiKrum(byzantine:4,keep:12)' ;;
        bulyan) what='Bulyan(byzantine:4)' ;;
        fltrust) what='FLTrust()' ;;
        centred) what='CentredClipping(radius:0.6,iterations:3)' ;;
        dnc) what='DnC(byzantine:4)' ;;
        foolsgold) what='FoolsGold()' ;;
        bucketing) what='Bucketing(size:2,inner:GeometricMedian())' ;;
        *) echo "matrix.sh: no defence $1" >&2; exit 2 ;;
    esac
    echo "--set defence=$what"
}

# One run: attack, defence, seed. Its folder appears when it is complete.
if [ "${1-}" = --one ]; then
    attack=$2 defence=$3 seed=$4
    set -- $(attack "$attack") $(defence "$defence")
    cell "$RUNS/$attack/$defence-$seed" scenarios/attacks/matrix.ron "$@" --seed "$seed"
    exit 0
fi

case ${1-} in -h | --help)
    usage
    exit 0 ;;
esac
if [ $# -eq 0 ]; then
    for attack in $ATTACKS; do for defence in $DEFENCES; do
        set -- "$@" "$attack/$defence"
    done; done
fi
# A name that is none is told before anything runs.
for cell in "$@"; do
    attack "${cell%%/*}" >/dev/null
    defence "${cell#*/}" >/dev/null
done
for seed in $SEEDS; do for cell in "$@"; do
    echo "${cell%%/*} ${cell#*/} $seed"
done; done |
    each_cell "$here/matrix.sh"
