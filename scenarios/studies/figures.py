"""The figures that most studies take from a run. A study adds its own."""


def last(column):
    """The last figure of a column of rounds.csv: what a run ended with."""
    return lambda run: run.last(column)


def best(column):
    """The best round's. On test data that is never a claim: nobody could have chosen the round."""
    return lambda run: max((v for v in run.column(column) if v is not None), default=None)


def at_best_of(judge, column):
    """The figure of the round that `judge` chooses, another column: the first of its best rounds."""

    def figure(run):
        pairs = zip(run.column(judge), run.column(column))
        pairs = [(j, value) for j, value in pairs if j is not None and value is not None]
        return max(pairs, key=lambda pair: pair[0])[1] if pairs else None

    return figure


def reached(goal, what="ended_s"):
    """What a column of rounds.csv says in the first round with so much test accuracy; None if none has it."""

    def figure(run):
        pairs = zip(run.column("accuracy"), run.column(what))
        return next((value for accuracy, value in pairs if accuracy is not None and accuracy >= goal), None)

    return figure


def bytes_until(goal):
    """Bytes both ways until that round."""

    def figure(run):
        rounds = reached(goal, "round")(run)
        both = zip(run.column("bytes_down"), run.column("bytes_up"))
        return None if rounds is None else sum(a + b for a, b in list(both)[: int(rounds)])

    return figure


def _share(part, whole):
    return part / whole if whole else None


COSTS = {
    # Training that was wasted included.
    "client_flops": lambda run: run.total("flops", "costs"),
    "server_flops": lambda run: run.total("server_flops"),
    "client_j": lambda run: run.total("energy_j", "costs"),
    "server_j": lambda run: run.total("server_energy_j"),
    "server_s": lambda run: run.total("server_compute_s"),
    "bytes": lambda run: run.total("bytes_down") + run.total("bytes_up"),
    "virtual_s": lambda run: run.record["totals"]["virtual_ns"] / 1e9,
    # The share of the clients' operations that changed no model.
    "wasted": lambda run: _share(run.total("wasted_flops", "invitations"), run.total("flops", "invitations")),
}

FIGURES = {
    "accuracy": last("accuracy"),
    # The round that the public set's `select` samples choose, where the scenario has some.
    "chosen_on_select": at_best_of("select_accuracy", "accuracy"),
    # The round in which clients' own held-out samples are classified best with the model handed out.
    "chosen_on_clients": at_best_of("client_mean", "accuracy"),
    "best_on_test": best("accuracy"),
    "personal": last("client_mean"),
    "received": last("received_mean"),
    "trained": last("trained_mean"),
    "rounds": lambda run: run.record["totals"]["rounds"],
    "completed": lambda run: run.record["totals"]["completed"],
    **COSTS,
}
