# bash completion for heapsake. The words come from the tool's own tables of options, so they are always those of
# the version that is installed.

_heapsake()
{
    local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} heapsake=${COMP_WORDS[0]} i
    COMPREPLY=()

    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "$("$heapsake" manual --words 2>/dev/null)" -- "$current"))
        return
    fi
    case $command in
    help)
        ((COMP_CWORD == 2)) && COMPREPLY=($(compgen -W "$("$heapsake" manual --list 2>/dev/null)" -- "$current"))
        return
        ;;
    run)
        # behind the program's name everything is the program's own
        for ((i = 2; i < COMP_CWORD; i++)); do
            case ${COMP_WORDS[i]} in
            --)
                if ((i + 1 == COMP_CWORD)); then
                    COMPREPLY=($(compgen -c -- "$current"))
                else
                    COMPREPLY=($(compgen -f -- "$current"))
                fi
                return
                ;;
            esac
        done
        ;;
    esac
    if [[ $current == -* ]]; then
        # "=" splits words in COMP_WORDS; complete choices that still hold one as a whole
        COMPREPLY=($(compgen -W "$("$heapsake" manual --words "$command" 2>/dev/null)" -- "$current"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        return
    fi
    case $command in
    run)
        COMPREPLY=($(compgen -c -- "$current"))
        ;;
    attach | detach | snapshot | doctor)
        # recorders listen at addresses that carry no pid of their programs, and doctor looks at any: all are offered
        COMPREPLY=($(compgen -W "$(cd /proc 2>/dev/null && echo [0-9]*)" -- "$current"))
        ;;
    *)
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -d -- "$current") $(compgen -f -X '!*.hsk' -- "$current"))
        ;;
    esac
}

complete -F _heapsake heapsake
