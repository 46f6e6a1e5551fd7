# PowerShell completion for wwctl: wwctl itself says what may come next.
Register-ArgumentCompleter -Native -CommandName wwctl -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
    $given = @($words | Select-Object -Skip 1)
    if ($wordToComplete -eq '') { $given += '""' }
    & $words[0] __complete @given 2>$null | Where-Object { $_ -notmatch '^:[0-9]+$' } | ForEach-Object {
        $name, $help = $_ -split "`t", 2
        if (-not $help) { $help = $name }
        if ($name -like "$wordToComplete*") {
            [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $help)
        }
    }
}
