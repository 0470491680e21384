# shellcheck shell=sh disable=SC2154 # $tool and $DIRECTORY are set by whoever includes it
# Stands first on PATH for a tool that the agent's script uses: counts the call, runs the real one, and does what
# $DIRECTORY/plan says: `NUMBER script` kills the whole process group after that call, `NUMBER during|after`
# kills the broker at that call of it. Included by each stand-in with $tool set.

# count NAME: notes a step, and dies after it if that is the plan.
count() {
    number=$(($(wc -l <"$DIRECTORY/steps") + 1))
    echo "$number $1" >>"$DIRECTORY/steps"
    [ "$(cat "$DIRECTORY/plan")" != "$number script" ] || kill -KILL 0
}

# dying PROCESS: its first thread counts as dead while others are not yet; until they are, nobody can wait for it.
dying() {
    read -r _ _ state _ <"/proc/$1/stat" || return 1
    [ "$state" != Z ] || [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 1 ]
}

# kill_broker: and waits until it is dead, so that whoever looks for it next does not find it dying.
kill_broker() {
    broker=$(cat "$DIRECTORY/broker")
    kill -KILL "$broker"
    while dying "$broker"; do sleep 0.01; done 2>/dev/null
}

# at NUMBER: which moment of this call of the broker is planned.
at() { sed -n "s/^$1 \\(during\\|after\\)\$/\\1/p" "$DIRECTORY/plan"; }

run_tool() {
    printf '%s\n' "$*" >>"$DIRECTORY/arguments"
    moment=
    # Only calls of the broker have this one.
    case " $* " in *' --tlsv1.2 '*)
        calls=$(($(wc -l <"$DIRECTORY/calls") + 1))
        echo "$calls" >>"$DIRECTORY/calls"
        moment=$(at "$calls")
        ;;
    *' -D - '*) if [ -f "$DIRECTORY/challenge" ]; then cat "$DIRECTORY/challenge"; exit 0; fi ;;
    esac
    status=0
    case $moment in
    during)
        exec 3<&0
        "/usr/bin/$tool" "$@" <&3 &
        sleep 0.2
        kill_broker
        wait $! || status=$?
        ;;
    after) "/usr/bin/$tool" "$@" || status=$?; kill_broker ;;
    *) "/usr/bin/$tool" "$@" || status=$? ;;
    esac
    count "$tool"
    exit "$status"
}
