#Requires -Version 5.1
#Requires -PSEdition Desktop
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Rotates the passphrase of this server's backups (MARS agent) together with passphrase-broker.

.DESCRIPTION
Asks the broker what this server should do now, applies the new passphrase with Set-OBMachineSetting and confirms it, or
reports why MARS did not take it. One run does one thing, often nothing: run it as a scheduled task. A run that was
interrupted anywhere is finished by the next one.

The passphrase is in this process's memory only: never in a file, an argument, a transcript or the log of a module.
What is kept between two runs (ids and the step) is encrypted for the account that runs this (DPAPI).

.PARAMETER BrokerUrl
Where the broker is: https://...

.PARAMETER BrokerResource
What the token is for: api://<client id of the broker's app registration>.

.PARAMETER Writer
Who saves the passphrase in Key Vault, for rotations that begin here: the broker, or the agent (MARS itself, from agent
2.0.9262.0 on). A rotation that was prepared elsewhere brings its own.

.PARAMETER TokenSource
arc (Azure Arc) or imds (Azure VM). auto takes Azure Arc where its agent is installed.

.PARAMETER SecurityPin
The security PIN of the Recovery Services vault, which is good for five minutes.

.PARAMETER PromptForSecurityPin
Asks for the security PIN when it is needed, for a run by hand.

.PARAMETER FirstRegistration
Gives MARS the blank PIN that the very first passphrase of a server takes.

.PARAMETER Now
Rotates also when nothing is due.

.PARAMETER StateDirectory
Where the state is kept.

.PARAMETER RetryForSeconds
How long one step is repeated before the next run has to go on.

.PARAMETER RetryDelaySeconds
Between two tries.

.EXAMPLE
.\Invoke-PassphraseRotation.ps1 -BrokerUrl https://broker.corp.contoso.com -BrokerResource api://6f1d2c3b-4a59-4e68-8f70-112233445566

What the scheduled task runs.

.EXAMPLE
.\Invoke-PassphraseRotation.ps1 -BrokerUrl https://broker.corp.contoso.com -BrokerResource api://6f1d2c3b-4a59-4e68-8f70-112233445566 -Now -PromptForSecurityPin

By hand, in a Recovery Services vault that wants a security PIN.

.NOTES
Exit codes: 0 done, or nothing to do; 2 a setting is wrong; 3 no token; 4 the broker knows no machine of this identity, or
refuses it; 5 the broker refuses the rotation; 6 MARS and the broker disagree; 7 MARS did not apply it; 75 not finished,
the next run goes on. README.md beside this file says what to do.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)]
    [ValidatePattern('^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$')]
    [string] $BrokerUrl,

    [Parameter(Mandatory = $true)]
    [ValidatePattern('^[A-Za-z0-9.:/_-]+$')]
    [string] $BrokerResource,

    [ValidateSet('broker', 'agent')]
    [string] $Writer = 'broker',

    [ValidateSet('auto', 'arc', 'imds')]
    [string] $TokenSource = 'auto',

    [System.Security.SecureString] $SecurityPin,

    [switch] $PromptForSecurityPin,

    [switch] $FirstRegistration,

    [switch] $Now,

    [string] $StateDirectory = (Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'PassphraseRotation'),

    [ValidateRange(0, 86400)]
    [int] $RetryForSeconds = 300,

    [ValidateRange(1, 3600)]
    [int] $RetryDelaySeconds = 5
)

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
# A trace would show the values of variables.
Set-PSDebug -Off
Add-Type -AssemblyName System.Runtime.Serialization
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12

$ArcDirectory = Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'AzureConnectedMachineAgent'
$ArcEndpoint = 'http://localhost:40342/metadata/identity/oauth2/token?api-version=2020-06-01&resource='
$ImdsEndpoint = 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource='
$StateFile = Join-Path $StateDirectory 'state'
$BrokerUrl = $BrokerUrl.TrimEnd('/')
$Token = $null
$State = $null

function Stop-Run([int] $Code, [string] $Message) {
    Write-Host "Invoke-PassphraseRotation: $Message"
    exit $Code
}

# --- HTTP and JSON, by .NET's own classes: what a cmdlet is given may be logged (module logging), these are not.

# One request. Status 0: no answer.
function Send-Request([string] $Method, [string] $Uri, [hashtable] $Headers, [string] $Body, [bool] $Direct) {
    $request = [Net.WebRequest]::CreateHttp($Uri)
    $request.Method = $Method
    $request.AllowAutoRedirect = $false
    $request.Timeout = 60000
    $request.ReadWriteTimeout = 60000
    if ($Direct) { $request.Proxy = New-Object Net.WebProxy }
    foreach ($name in $Headers.Keys) { $request.Headers.Add($name, $Headers[$name]) }
    $response = $null
    try {
        if ($Body) {
            $bytes = [Text.Encoding]::UTF8.GetBytes($Body)
            $request.ContentType = 'application/json'
            $request.ContentLength = $bytes.Length
            $stream = $request.GetRequestStream()
            $stream.Write($bytes, 0, $bytes.Length)
            $stream.Dispose()
        }
        elseif ($Method -eq 'POST') { $request.ContentLength = 0 }
        try { $response = $request.GetResponse() }
        catch [Net.WebException] {
            $response = $_.Exception.Response
            if ($null -eq $response) { throw }
        }
        return @{
            Status     = [int] $response.StatusCode
            Challenge  = [string] $response.Headers['WWW-Authenticate']
            RetryAfter = [string] $response.Headers['Retry-After']
            Json       = Read-Json $response
        }
    }
    catch [Net.WebException], [IO.IOException] {
        Write-Host "Invoke-PassphraseRotation: $($_.Exception.Message)"
        return @{ Status = 0; Challenge = ''; RetryAfter = ''; Json = $null }
    }
    finally { if ($null -ne $response) { $response.Dispose() } }
}

# The body as a document, or nothing when it is not JSON. 1 MiB at most.
function Read-Json([Net.WebResponse] $Response) {
    $buffer = New-Object byte[] 1048576
    $length = 0
    $stream = $Response.GetResponseStream()
    do {
        $read = $stream.Read($buffer, $length, $buffer.Length - $length)
        $length += $read
    } while ($read -gt 0 -and $length -lt $buffer.Length)
    $document = New-Object Xml.XmlDocument
    try {
        $quotas = [Xml.XmlDictionaryReaderQuotas]::Max
        $reader = [Runtime.Serialization.Json.JsonReaderWriterFactory]::CreateJsonReader($buffer, 0, $length, $quotas)
        $document.Load($reader)
        $reader.Close()
    }
    catch { $document = $null }
    finally { [Array]::Clear($buffer, 0, $buffer.Length) }
    return $document
}

# The text at a path such as items/item[1]/task; empty when it is not there.
function Get-Text($Answer, [string] $Path) {
    if ($null -eq $Answer.Json) { return '' }
    $node = $Answer.Json.SelectSingleNode("/root/$Path")
    if ($null -eq $node) { return '' }
    return $node.InnerText
}

# --- Tokens

function Get-Token {
    $source = $TokenSource
    if ($source -eq 'auto') { if (Test-Path -LiteralPath $ArcDirectory) { $source = 'arc' } else { $source = 'imds' } }
    $resource = [Uri]::EscapeDataString($BrokerResource)
    for ($try = 1; $try -le 3; $try++) {
        if ($try -gt 1) { Start-Sleep -Seconds $RetryDelaySeconds }
        $headers = @{ Metadata = 'true' }
        if ($source -eq 'arc') {
            $challenge = Send-Request 'GET' ($ArcEndpoint + $resource) $headers '' $true
            if ($challenge.Status -ne 401) { continue }
            $headers['Authorization'] = 'Basic ' + (Read-KeyFile $challenge.Challenge)
            $answer = Send-Request 'GET' ($ArcEndpoint + $resource) $headers '' $true
        }
        else { $answer = Send-Request 'GET' ($ImdsEndpoint + $resource) $headers '' $true }
        $found = Get-Text $answer 'access_token'
        if ($answer.Status -eq 200 -and $found -match '\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z') { return $found }
    }
    Stop-Run 3 "no token from $source for $BrokerResource"
}

# What the Azure Arc agent wants to see. Whoever answers at its address must not make us send another file.
function Read-KeyFile([string] $Challenge) {
    if ($Challenge -notmatch '^\s*Basic\s+realm="?(?<path>[^"]+?)"?\s*$') { Stop-Run 3 'the Azure Arc agent asks for no key file' }
    $path = $Matches['path']
    $directory = (Join-Path $ArcDirectory 'Tokens') + '\'
    $inside = $path.StartsWith($directory, [StringComparison]::OrdinalIgnoreCase)
    if (-not $inside) { Stop-Run 3 "the key file $path is not below $directory" }
    # No directory below it, no `..`, no alternate stream.
    if ($path.Substring($directory.Length) -notmatch '\A[A-Za-z0-9_-]+\.key\z') { Stop-Run 3 "the key file $path has another name" }
    $file = New-Object IO.FileInfo $path
    if (-not $file.Exists) { Stop-Run 3 "the key file $path is not there" }
    $link = [IO.FileAttributes]::ReparsePoint
    if (($file.Attributes -band $link) -or ($file.Directory.Attributes -band $link)) { Stop-Run 3 "the key file $path is a link" }
    if ($file.Length -gt 4096) { Stop-Run 3 "the key file $path is too large" }
    $key = [IO.File]::ReadAllText($path).Trim()
    if ($key -notmatch '\A[A-Za-z0-9+/=._-]+\z') { Stop-Run 3 "the key file $path holds no key" }
    return $key
}

# --- What is kept between two runs. When all of it is lost the broker still says what is to do.

function Read-State {
    if (-not (Test-Path -LiteralPath $StateFile)) { return $null }
    try {
        $secure = ConvertTo-SecureString -String ([IO.File]::ReadAllText($StateFile))
        $read = ConvertFrom-Json -InputObject (ConvertTo-PlainText $secure)
        foreach ($id in $read.MachineId, $read.RotationId) { [void] [Guid]::Parse($id) }
        if (@('collected', 'applied', 'unsaved', 'refused') -notcontains $read.Step) { throw 'an unknown step' }
        return $read
    }
    catch {
        Write-Host "Invoke-PassphraseRotation: $StateFile cannot be read by this account; asking the broker instead"
        return $null
    }
}

# The file is there as it was or as it will be, never half of it.
function Save-State([string] $Step) {
    $State.Step = $Step
    # Ids only, so that a cmdlet may see them.
    $secure = ConvertTo-SecureString -String (ConvertTo-Json -InputObject $State -Compress) -AsPlainText -Force
    $new = "$StateFile.new"
    [IO.File]::WriteAllText($new, (ConvertFrom-SecureString -SecureString $secure))
    if (Test-Path -LiteralPath $StateFile) { [IO.File]::Replace($new, $StateFile, [NullString]::Value) }
    else { [IO.File]::Move($new, $StateFile) }
}

function Remove-State { if (Test-Path -LiteralPath $StateFile) { Remove-Item -LiteralPath $StateFile -Force } }

# For administrators and the system only. Everybody may make a directory in ProgramData, and lay traps in it.
function Initialize-StateDirectory {
    if (-not (Test-Path -LiteralPath $StateDirectory)) {
        $rules = New-Object Security.AccessControl.DirectorySecurity
        $rules.SetSecurityDescriptorSddlForm('O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
        [void] [IO.Directory]::CreateDirectory($StateDirectory, $rules)
    }
    $owner = (Get-Acl -LiteralPath $StateDirectory).GetOwner([Security.Principal.SecurityIdentifier]).Value
    if (@('S-1-5-18', 'S-1-5-32-544') -notcontains $owner) { Stop-Run 2 "$StateDirectory does not belong to Administrators" }
}

function ConvertTo-PlainText([Security.SecureString] $Secure) {
    $pointer = [Runtime.InteropServices.Marshal]::SecureStringToBSTR($Secure)
    try { return [Runtime.InteropServices.Marshal]::PtrToStringBSTR($pointer) }
    finally { [Runtime.InteropServices.Marshal]::ZeroFreeBSTR($pointer) }
}

# --- The broker

# Repeats a request until there is an answer that will not be another one in a moment.
function Invoke-Broker([string] $Method, [string] $Path, [string] $Body) {
    $deadline = [DateTime]::UtcNow.AddSeconds($RetryForSeconds)
    $renewed = $false
    while ($true) {
        $headers = @{ Authorization = "Bearer $script:Token" }
        $answer = Send-Request $Method ($BrokerUrl + $Path) $headers $Body $false
        $wait = $RetryDelaySeconds
        switch ($answer.Status) {
            401 {
                if ($renewed) { Stop-Run 4 "the broker does not accept the token: $(Get-Text $answer 'detail')" }
                $renewed = $true
                $script:Token = Get-Token
                $wait = 0
            }
            403 { Stop-Run 4 "the broker refuses: $(Get-Text $answer 'detail')" }
            404 {
                # What is kept here is of no use then. The broker knows what to do if the binding comes back.
                Remove-State
                Stop-Run 4 'the broker has no such machine or rotation for this identity; is it bound to another one now?'
            }
            { $_ -eq 0 -or $_ -eq 408 -or $_ -eq 429 -or $_ -ge 500 } {
                $asked = 0
                if ([int]::TryParse($answer.RetryAfter, [ref] $asked)) { $wait = [Math]::Max($wait, [Math]::Min($asked, 60)) }
            }
            default { return $answer }
        }
        if ([DateTime]::UtcNow -gt $deadline) {
            Stop-Run 75 "the broker does not answer ($($answer.Status) $(Get-Text $answer 'code')); the next run goes on"
        }
        Start-Sleep -Seconds $wait
    }
}

function Get-RotationPath { return "/v1/machines/$($State.MachineId)/rotations/$($State.RotationId)" }

function New-State([string] $MachineId, [string] $RotationId) {
    return [pscustomobject] @{
        MachineId = $MachineId; RotationId = $RotationId; Step = ''; Writer = ''; Secret = ''; MarsErrorCode = ''
    }
}

function Invoke-Task {
    $answer = Invoke-Broker 'GET' '/v1/agent/tasks' ''
    if ($answer.Status -ne 200) { Stop-Run 5 "the broker does not say what to do: $($answer.Status) $(Get-Text $answer 'code')" }
    $task = Get-Text $answer 'items/item[1]/task'
    $script:State = New-State (Get-Text $answer 'items/item[1]/machineId') (Get-Text $answer 'items/item[1]/rotationId')
    switch ($task) {
        '' {
            if (-not $Now) { Stop-Run 0 'nothing to do' }
            $State.MachineId = Get-Text (Invoke-Broker 'GET' '/v1/me' '') 'machine/id'
            if (-not $State.MachineId) { Stop-Run 4 'the broker has bound no machine to this identity' }
            Start-Rotation
        }
        'rotate' { Start-Rotation }
        'collectPassphrase' { Receive-Passphrase }
        'confirmRotation' {
            # Without a state of our own nobody knows whether it was applied: to apply it again does no harm. When it is
            # too late for that, a new rotation ends with a passphrase that is known.
            if ((Get-Text $answer 'items/item[1]/state') -eq 'collected') { Receive-Passphrase } else { Start-Rotation }
        }
        default { Stop-Run 5 "the broker asks for something that this script does not know: $task" }
    }
}

# Sent again, it gives the same rotation and the same passphrase.
function Start-Rotation {
    Assert-MarsCan $Writer
    $deadline = [DateTime]::UtcNow.AddSeconds($RetryForSeconds)
    $body = '{"passphrase":{"source":"generated"},"writer":"' + $Writer + '"}'
    do {
        $answer = Invoke-Broker 'POST' "/v1/machines/$($State.MachineId)/rotations" $body
        $busy = $answer.Status -eq 409 -and (Get-Text $answer 'code') -eq 'rotation-in-progress'
        if ($busy) { Start-Sleep -Seconds $RetryDelaySeconds }
    } while ($busy -and [DateTime]::UtcNow -lt $deadline)
    if ($answer.Status -ne 201) {
        Stop-Run 5 "the broker begins no rotation: $($answer.Status) $(Get-Text $answer 'code'): $(Get-Text $answer 'detail')"
    }
    Use-Passphrase $answer
}

# The passphrase of a rotation that is open, again.
function Receive-Passphrase {
    $answer = Invoke-Broker 'POST' "$(Get-RotationPath)/collect" ''
    switch ($answer.Status) {
        200 { Use-Passphrase $answer }
        410 { Start-Rotation }
        409 {
            Write-Host "Invoke-PassphraseRotation: the rotation is closed: $(Get-Text $answer 'detail')"
            Remove-State
            Invoke-Task
        }
        default { Stop-Run 5 "the broker does not give the passphrase: $($answer.Status) $(Get-Text $answer 'code')" }
    }
}

# Remembers which rotation it is, before anything is done with it.
function Use-Passphrase($Answer) {
    $script:State = New-State $State.MachineId (Get-Text $Answer 'id')
    $State.Writer = Get-Text $Answer 'writer'
    Assert-MarsCan $State.Writer
    $secure = New-Object Security.SecureString
    foreach ($character in (Get-Text $Answer 'passphrase').ToCharArray()) { $secure.AppendChar($character) }
    $secure.MakeReadOnly()
    $Answer.Json = $null
    if ($secure.Length -lt 16) { Stop-Run 5 'the broker gave no passphrase' }
    Save-State 'collected'
    Set-Passphrase $secure
}

# --- MARS

function Assert-MarsCan([string] $By) {
    if (-not (Get-Module -Name MSOnlineBackup)) { Import-Module -Name MSOnlineBackup }
    $known = (Get-Command -Name Set-OBMachineSetting).Parameters
    if ($By -eq 'agent' -and -not $known.ContainsKey('KeyVaultUri')) {
        Stop-Run 2 'this MARS agent cannot save to Key Vault by itself: it needs version 2.0.9262.0, or -Writer broker'
    }
}

function Set-Passphrase([Security.SecureString] $Secure) {
    $parameters = @{ EncryptionPassphrase = $Secure; Confirm = $false; ErrorAction = 'Stop' }
    if ($State.Writer -eq 'agent') {
        $machine = Invoke-Broker 'GET' "/v1/machines/$($State.MachineId)" ''
        $parameters['KeyVaultUri'] = Get-Text $machine 'keyVaultUri'
    }
    if ($FirstRegistration) { $parameters['SecurityPin'] = ' ' }
    elseif ($null -ne $SecurityPin) { $parameters['SecurityPin'] = ConvertTo-PlainText $SecurityPin }
    elseif ($PromptForSecurityPin) {
        $parameters['SecurityPin'] = ConvertTo-PlainText (Read-Host -Prompt 'Security PIN' -AsSecureString)
    }
    try { $said = [string] (Set-OBMachineSetting @parameters 6>&1 | Out-String -Width 4096) }
    catch {
        $State.MarsErrorCode = Find-ErrorCode ($_.Exception.Message + ' ' + $_.FullyQualifiedErrorId)
        Write-Host "Invoke-PassphraseRotation: $($_.Exception.Message)"
        Save-State 'refused'
        Send-Failure
    }
    finally {
        $parameters.Clear()
        $Secure.Dispose()
    }
    # Wherever MARS prints it, and with whatever around it.
    if ($said -match 'https://[A-Za-z0-9.:-]+/secrets/[A-Za-z0-9/-]+') { $State.Secret = $Matches[0] }
    Save-State 'applied'
    Confirm-Rotation
}

function Find-ErrorCode([string] $Text) {
    foreach ($pattern in '(?i)\bID\W{1,3}(?<code>[0-9]{5,6})\b', '(?i)(error|code)\W{1,5}(?<code>0x[0-9a-f]{3,8}|[0-9]{5,6})\b') {
        if ($Text -match $pattern) { return $Matches['code'] }
    }
    return ''
}

function Send-Failure {
    $body = '{"message":"Set-OBMachineSetting failed"}'
    if ($State.MarsErrorCode) { $body = '{"marsErrorCode":"' + $State.MarsErrorCode + '","message":"Set-OBMachineSetting failed"}' }
    $answer = Invoke-Broker 'POST' "$(Get-RotationPath)/fail" $body
    if ($answer.Status -ne 200) {
        Write-Host "Invoke-PassphraseRotation: the broker does not take the report: $($answer.Status) $(Get-Text $answer 'detail')"
    }
    Remove-State
    Stop-Run 7 "MARS did not apply it (error $($State.MarsErrorCode)); the old passphrase stays in force"
}

function Confirm-Rotation {
    $deadline = [DateTime]::UtcNow.AddSeconds($RetryForSeconds)
    # An earlier run has waited for it.
    $waited = $State.Step -eq 'unsaved'
    $secret = ''
    if ($State.Writer -eq 'agent') { $secret = $State.Secret }
    while ($true) {
        $body = '{}'
        if ($secret) { $body = '{"secretIdentifier":"' + $secret + '"}' }
        $answer = Invoke-Broker 'POST' "$(Get-RotationPath)/confirm" $body
        if ($answer.Status -eq 200) {
            $confirmed = $State.RotationId
            Remove-State
            Stop-Run 0 "confirmed: the new passphrase is in force (rotation $confirmed)"
        }
        if ($answer.Status -eq 400 -and $secret) {
            Write-Host "Invoke-PassphraseRotation: the broker does not take ${secret}: $(Get-Text $answer 'detail')"
            $secret = ''
            continue
        }
        if ($answer.Status -ne 202) { Stop-Disagreement $answer }
        # MARS will not save it any more. The same passphrase again does no harm.
        if ($waited) { Receive-Passphrase }
        if ([DateTime]::UtcNow -gt $deadline) {
            Save-State 'unsaved'
            Stop-Run 75 'MARS has not saved the passphrase in Key Vault; the next run looks again, and else applies it again'
        }
        Start-Sleep -Seconds ([Math]::Max($RetryDelaySeconds, 10))
    }
}

function Stop-Disagreement($Answer) {
    $why = "$($Answer.Status) $(Get-Text $Answer 'code'): $(Get-Text $Answer 'detail')"
    if ($Answer.Status -eq 400) { Stop-Run 5 "the broker does not take the confirmation: $why" }
    $keep = (Get-Text $Answer 'code') -eq 'key-vault-secret-disabled'
    if (-not $keep) { $keep = '' -ne (Get-Text (Invoke-Broker 'GET' (Get-RotationPath) '') 'otherSecretIdentifiers/item[1]') }
    if ($keep) { Stop-Run 6 "not confirmed, and tried again by the next run: $why" }
    Remove-State
    Stop-Run 6 "the rotation cannot be confirmed any more: $why"
}

$alone = New-Object Threading.Mutex $false, 'Global\PassphraseRotation'
try { $first = $alone.WaitOne(0) }
catch [Threading.AbandonedMutexException] { $first = $true }
if (-not $first) { Stop-Run 75 'another run is at it' }
try {
    Initialize-StateDirectory
    $State = Read-State
    $Token = Get-Token
    $step = ''
    if ($null -ne $State) { $step = $State.Step }
    switch ($step) {
        { $_ -eq 'applied' -or $_ -eq 'unsaved' } { Confirm-Rotation }
        'refused' { Send-Failure }
        # Nobody knows whether it was applied. The same passphrase again does no harm.
        'collected' { Receive-Passphrase }
        default { Invoke-Task }
    }
}
finally { $alone.ReleaseMutex() }
