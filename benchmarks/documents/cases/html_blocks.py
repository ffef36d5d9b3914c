"""HTML blocks: lists, tables, preformatted text."""

from __future__ import annotations

from benchmarks.documents.case import table
from benchmarks.documents.cases.html_pages import html_case

CASES = (
    html_case(
        "ordered list",
        "<ol><li>Open the app.</li><li>Choose your card.</li><li>Press block.</li></ol>",
        "1. Open the app.\n2. Choose your card.\n3. Press block.",
        numbers=("1. Open the app", "2. Choose your", "3. Press block"),
    ),
    html_case(
        "ordered list with a start",
        "<ol start='4'><li>Sign the form.</li><li>Send it.</li></ol>",
        "4. Sign the form.\n5. Send it.",
        numbers=("4. Sign the form", "5. Send it"),
    ),
    html_case(
        "reversed list",
        "<ol reversed><li>Bronze</li><li>Silver</li><li>Gold</li></ol>",
        "3. Bronze\n2. Silver\n1. Gold",
        numbers=("3. Bronze", "2. Silver", "1. Gold"),
    ),
    html_case(
        "list with values",
        "<ol><li value='10'>Tenth rule</li><li>Next rule</li><li value='20'>Twentieth rule</li></ol>",
        "10. Tenth rule\n11. Next rule\n20. Twentieth rule",
        numbers=("10. Tenth rule", "11. Next rule", "20. Twentieth rule"),
    ),
    html_case(
        "lettered list",
        "<ol type='a'><li>Passport copy</li><li>Proof of address</li></ol><p>See point b.</p>",
        "a. Passport copy\nb. Proof of address\nSee point b.",
        numbers=("a. Passport copy", "b. Proof of"),
    ),
    html_case(
        "nested lists",
        "<ol><li>Prepare<ol><li>Find the card.</li><li>Find the PIN.</li></ol></li><li>Pay<ul><li>in cash</li>"
        "<li>by card</li></ul></li></ol>",
        "1. Prepare\n1. Find the card.\n2. Find the PIN.\n2. Pay\nin cash\nby card",
        numbers=("1. Prepare", "1. Find the card", "2. Find the PIN", "2. Pay"),
    ),
    html_case(
        "list entries with paragraphs",
        "<ol><li><p>First call.</p><p>Stay on the line.</p></li><li><p>Then write.</p></li></ol>",
        "1. First call.\nStay on the line.\n2. Then write.",
        numbers=("1. First call", "2. Then write"),
    ),
    html_case(
        "definition list",
        "<dl><dt>APR</dt><dd>Annual percentage rate: 9.5 percent.</dd><dt>IBAN</dt><dd>Account number of 22 "
        "characters.</dd></dl>",
        "APR\nAnnual percentage rate: 9.5 percent.\nIBAN\nAccount number of 22 characters.",
    ),
    html_case(
        "plain table",
        "<table><thead><tr><th>Service</th><th>Price</th></tr></thead><tbody><tr><td>Card</td><td>12 €</td></tr>"
        "<tr><td>PIN letter</td><td>3 €</td></tr></tbody></table>",
        "Service Price\nCard 12 €\nPIN letter 3 €",
        rows=table("Service | Price", "Card | 12 €", "PIN letter | 3 €"),
    ),
    html_case(
        "table with empty cells",
        "<table><tr><th>Plan</th><th>Basic</th><th>Plus</th></tr><tr><td>Transfers</td><td></td><td>50</td></tr>"
        "<tr><td>Cards</td><td>1</td><td></td></tr></table>",
        "Plan Basic Plus\nTransfers 50\nCards 1",
        rows=table("Plan | Basic | Plus", "Transfers | | 50", "Cards | 1 | "),
    ),
    html_case(
        "rowspan",
        "<table><tr><th>Country</th><th>City</th><th>Staff</th></tr><tr><td rowspan='2'>Austria</td><td>Vienna</td>"
        "<td>31</td></tr><tr><td>Graz</td><td>8</td></tr><tr><td>Norway</td><td>Oslo</td><td>15</td></tr></table>",
        "Country City Staff\nAustria Vienna 31\nGraz 8\nNorway Oslo 15",
        optional="Austria",
        rows=table("City | Country | Staff", "Vienna | Austria | 31", "Graz | Austria | 8", "Oslo | Norway | 15"),
    ),
    html_case(
        "colspan in the header",
        "<table><tr><th rowspan='2'>Branch</th><th "
        "colspan='2'>Customers</th></tr><tr><th>Spring</th><th>Autumn</th></tr>"
        "<tr><td>North</td><td>410</td><td>395</td></tr><tr><td>South</td><td>120</td><td>133</td></tr></table>",
        "Branch Customers Spring Autumn\nNorth 410 395\nSouth 120 133",
        optional="Branch Customers",
        rows=table("Branch | Spring | Autumn", "North | 410 | 395", "South | 120 | 133"),
    ),
    html_case(
        "colspan in a row",
        "<table><tr><th>Day</th><th>Morning</th><th>Evening</th></tr><tr><td>Monday</td><td>9</td><td>18</td></tr>"
        "<tr><td>Sunday</td><td colspan='2'>closed</td></tr><tr><td>Tuesday</td><td>8</td><td>17</td></tr></table>",
        "Day Morning Evening\nMonday 9 18\nSunday closed\nTuesday 8 17",
        optional="closed",
        rows=table("Day | Morning | Evening", "Monday | 9 | 18", "Sunday | closed | closed", "Tuesday | 8 | 17"),
    ),
    html_case(
        "table with blocks in cells",
        "<table><tr><th>Account</th><th>Includes</th></tr><tr><td>Youth</td><td><ul><li>card</li><li>app</li></ul></td></tr>"
        "<tr><td>Family</td><td><p>4 cards</p><p>1 loan</p></td></tr></table>",
        "Account Includes\nYouth card app\nFamily 4 cards 1 loan",
        rows=table("Account | Includes", "Youth | card app", "Family | 4 cards 1 loan"),
    ),
    html_case(
        "table with a caption and row headers",
        "<table><caption>Interest in 2024</caption><tr><td></td><th>Savings</th><th>Loans</th></tr><tr><th>January</th>"
        "<td>1.25</td><td>6.4</td></tr><tr><th>February</th><td>1.5</td><td>6.1</td></tr></table>",
        "Interest in 2024\nSavings Loans\nJanuary 1.25 6.4\nFebruary 1.5 6.1",
        rows=({"": "January", "Savings": "1.25", "Loans": "6.4"}, {"": "February", "Savings": "1.5", "Loans": "6.1"}),
    ),
    html_case(
        "table with pipes in cells",
        "<table><tr><th>Command</th><th>Code</th></tr><tr><td>sort</td><td>a | "
        "b</td></tr><tr><td>count</td><td>7</td></tr></table>",
        "Command Code\nsort a | b\ncount 7",
        rows=table("Command | Code", "count | 7"),
    ),
    html_case(
        "table for layout",
        "<table><tr><td><h2>News</h2><p>Rates fell to 3 percent.</p><p>More soon.</p></td><td><h2>Contact</h2>"
        "<p>Call 555 4444.</p><p>Ask for Ann.</p></td></tr></table>",
        "News\nRates fell to 3 percent.\nMore soon.\nContact\nCall 555 4444.\nAsk for Ann.",
    ),
    html_case(
        "code with hash signs",
        "<h1>Install</h1><pre><code># download first\ncurl -O file\n# then run\n  sh file --level "
        "3\n</code></pre><p>Done.</p>",
        "Install\n# download first\ncurl -O file\n# then run\nsh file --level 3\nDone.",
        headings=((1, "Install"),),
    ),
    html_case(
        "inline code and keyboard",
        "<p>Press <kbd>Ctrl</kbd>+<kbd>C</kbd>, then run <code>make -j 4</code> in <samp>build</samp>.</p>",
        "Press Ctrl+C, then run make -j 4 in build.",
    ),
    html_case(
        "preformatted table",
        "<pre>name   price\ncard      12\nloan     340</pre>",
        "name price\ncard 12\nloan 340",
        headings=(),
    ),
    html_case(
        "quotation",
        "<blockquote><p>No fee above 1,000 euros.</p><footer>Terms, section 8</footer></blockquote><p>So be it.</p>",
        "No fee above 1,000 euros.\nTerms, section 8\nSo be it.",
    ),
)
