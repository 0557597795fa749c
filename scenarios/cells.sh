# What the scripts of studies share; they source it. A study is made of cells, a run each.

# A cell: its folder, then what `shoal run` is told. What has been done is not done again; the folder
# appears when the run is complete.
cell() {
    out=$1
    shift
    [ -e "$out/run.json" ] && return
    rm -rf "$out.part" "$out"
    mkdir -p "${out%/*}"
    # 3: the run came to its end without a completed round, which is a result of a study, too.
    "$SHOAL" run "$@" --workers 1 --quiet --out "$out.part" || [ $? -eq 3 ] || {
        echo "$out failed" >&2
        exit 1
    }
    # Last of all: a run without it is begun anew.
    mv "$out.part" "$out"
    echo "$out"
}

# Calls the script $1 with --one and the words of each line that comes in, so many at a time as JOBS says.
each_cell() {
    [ -x "$SHOAL" ] || {
        echo "$1: no $SHOAL: make build first, or name the program in SHOAL" >&2
        exit 1
    }
    tr '\n' '\0' | xargs -0 -n 1 -P "$JOBS" sh -fc 'exec "$0" --one $1' "$1"
}
