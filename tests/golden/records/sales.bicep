// For the resource group of the zone: az deployment group create --resource-group GROUP --template-file FILE
// A record set of the same name and type is replaced by the one here: add the values to it that have to stay.
param zoneName string = 'example.com'

resource zone 'Microsoft.Network/dnsZones@2018-05-01' existing = {
  name: zoneName
}

resource txt_sales 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'sales'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'postrider-domain-verification=0f8fad5b-d9cb-469f-a165-70867728950e'
        ]
      }
      {
        value: [
          'v=spf1 include:spf.mail.example.net -all'
        ]
      }
    ]
  }
}

resource txt_postrider1_domainkey_sales 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'postrider1._domainkey.sales'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'v=DKIM1; k=rsa; p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+ws'
          'bKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
        ]
      }
    ]
  }
}

resource txt_postrider2_domainkey_sales 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'postrider2._domainkey.sales'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'v=DKIM1; k=rsa; p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+ws'
          'bKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
        ]
      }
    ]
  }
}

resource txt_postrider1_ed_domainkey_sales 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'postrider1-ed._domainkey.sales'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
        ]
      }
    ]
  }
}

resource txt_dmarc_sales 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: '_dmarc.sales'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'v=DMARC1; p=none'
        ]
      }
    ]
  }
}

resource mx_bounce_sales 'Microsoft.Network/dnsZones/MX@2018-05-01' = {
  parent: zone
  name: 'bounce.sales'
  properties: {
    TTL: 3600
    MXRecords: [
      { preference: 10, exchange: 'mx.mail.example.net' }
    ]
  }
}

resource txt_bounce_sales 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'bounce.sales'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'v=spf1 include:spf.mail.example.net -all'
        ]
      }
    ]
  }
}

resource txt_apex 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: '@'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'postrider-domain-verification=at-the-apex'
        ]
      }
      {
        value: [
          'v=spf1 include:spf.mail.example.net -all'
        ]
      }
    ]
  }
}

resource cname_postrider1_domainkey 'Microsoft.Network/dnsZones/CNAME@2018-05-01' = {
  parent: zone
  name: 'postrider1._domainkey'
  properties: {
    TTL: 3600
    CNAMERecord: {
      cname: 'postrider1.example.com.dkim.example.net'
    }
  }
}

resource txt_dmarc 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: '_dmarc'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'v=DMARC1; p=none'
        ]
      }
    ]
  }
}

resource a_mx 'Microsoft.Network/dnsZones/A@2018-05-01' = {
  parent: zone
  name: 'mx'
  properties: {
    TTL: 300
    ARecords: [
      { ipv4Address: '192.0.2.1' }
      { ipv4Address: '192.0.2.2' }
    ]
  }
}

resource aaaa_mx 'Microsoft.Network/dnsZones/AAAA@2018-05-01' = {
  parent: zone
  name: 'mx'
  properties: {
    TTL: 3600
    AAAARecords: [
      { ipv6Address: '2001:db8::1' }
    ]
  }
}

resource txt_a_b 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'a-b'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'it\'s "quoted" \\ \${zone} %{if} \u{9}\${\'x\'}'
        ]
      }
    ]
  }
}

resource txt_a_b_2 'Microsoft.Network/dnsZones/TXT@2018-05-01' = {
  parent: zone
  name: 'a_b'
  properties: {
    TTL: 3600
    TXTRecords: [
      {
        value: [
          'another one with the same identifier'
        ]
      }
    ]
  }
}
