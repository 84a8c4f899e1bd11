"""The rows, in the order in which they are played."""

from chaos.rows import (
    agent_killed,
    blackholed,
    consul_fails,
    deaf_clients,
    drained,
    emptied,
    exhausted,
    flapping,
    frozen,
    greedy_consul,
    hung,
    instance_killed,
    leader_killed,
    loss,
    names,
    reloaded,
    resetting,
    restarted,
    silence,
    slow_clients,
    soak,
    unreachable,
)

ROWS = {
    row.name: row
    for row in (
        agent_killed.ROW,
        leader_killed.ROW,
        silence.ROW,
        restarted.ROW,
        names.ROW,
        *emptied.ROWS,
        consul_fails.ROW,
        greedy_consul.ROW,
        *instance_killed.ROWS,
        blackholed.ROW,
        frozen.ROW,
        hung.ROW,
        unreachable.ROW,
        resetting.ROW,
        flapping.ROW,
        *exhausted.ROWS,
        slow_clients.ROW,
        deaf_clients.ROW,
        *loss.ROWS,
        drained.ROW,
        *reloaded.ROWS,
        soak.ROW,
    )
}
