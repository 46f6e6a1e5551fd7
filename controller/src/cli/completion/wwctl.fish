# fish completion for wwctl: wwctl itself says what may come next.
function __wwctl_complete
    set -l words (commandline -opc)
    set -l answer ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    for line in $answer
        switch $line
            case ':0'
                __fish_complete_path (commandline -ct)
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c wwctl -f -a '(__wwctl_complete)'
