# Signs messages with Mail::DKIM: perl sign_mail_dkim.pl KEY DOMAIN SELECTOR; see bench/program.py for what it reads and answers.
use strict;
use warnings;
use JSON::PP;
use Mail::DKIM::PrivateKey;
use Mail::DKIM::Signer;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

$| = 1;
my ($path, $domain, $selector) = @ARGV;
my $key = Mail::DKIM::PrivateKey->load(File => $path);

sub sign {
    my ($message) = @_;
    my $signer = Mail::DKIM::Signer->new(
        Algorithm => 'rsa-sha256', Method => 'relaxed/relaxed', Domain => $domain, Selector => $selector, Key => $key,
    );
    $signer->PRINT($message);
    $signer->CLOSE;
    return $signer->signature->as_string;
}

while (my $line = <STDIN>) {
    my $task = decode_json($line);
    open my $file, '<:raw', $task->{input} or die "$task->{input}: $!";
    my $message = do { local $/; <$file> };
    my $signature = sign($message);    # once before the clock starts
    my ($count, $seconds, $began) = (0, 0, clock_gettime(CLOCK_MONOTONIC));
    while ($seconds < $task->{seconds} || !$count) {
        $signature = sign($message);
        $count++;
        $seconds = clock_gettime(CLOCK_MONOTONIC) - $began;
    }
    $signature =~ s/\s+//g;
    my ($hash) = $signature =~ /bh=([^;]+)/;
    print encode_json({ count => $count, seconds => $seconds, result => $hash }), "\n";
}
